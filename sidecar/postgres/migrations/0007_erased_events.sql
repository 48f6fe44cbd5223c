-- A letter whose event was erased from the log is neither retried nor discarded.
ALTER TABLE sidecar.dead_letters DROP CONSTRAINT dead_letters_resolution_check;
ALTER TABLE sidecar.dead_letters ADD CONSTRAINT dead_letters_resolution_check
    CHECK (resolution IN ('retried', 'discarded', 'erased')) NOT VALID;
