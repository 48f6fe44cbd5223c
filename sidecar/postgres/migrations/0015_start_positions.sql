-- The position that a copy started after, where that was declared: it holds nothing of what is below.
ALTER TABLE sidecar.checkpoints ADD COLUMN start_position bigint NOT NULL DEFAULT 0;
-- What blocks a projection is a word; more of them come with later releases.
ALTER TABLE sidecar.checkpoints DROP CONSTRAINT checkpoints_block_check;
ALTER TABLE sidecar.checkpoints
    ADD CONSTRAINT checkpoints_block_check CHECK (block ~ '^[a-z_]+$') NOT VALID;
