-- Where a projection stood, as the mean of its partitions, when it stopped declaring a table: one that
-- it takes up again later lacks what was handled since. Null while it declares it.
ALTER TABLE sidecar.table_marks ADD COLUMN left_position numeric;
-- What was done to a table is a word; more of them come with later releases.
ALTER TABLE sidecar.table_marks DROP CONSTRAINT table_marks_change_check;
ALTER TABLE sidecar.table_marks
    ADD CONSTRAINT table_marks_change_check CHECK (change ~ '^[a-z_]+$') NOT VALID;
