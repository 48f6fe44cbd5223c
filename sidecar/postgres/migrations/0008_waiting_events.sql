-- concurrently
-- Events that wait for their next try are kept among the dead letters and counted apart.
DROP INDEX CONCURRENTLY IF EXISTS sidecar.dead_letters_waiting_idx;
CREATE INDEX CONCURRENTLY dead_letters_waiting_idx ON sidecar.dead_letters (projection)
    WHERE resolution IS NULL AND category = 'retry';
