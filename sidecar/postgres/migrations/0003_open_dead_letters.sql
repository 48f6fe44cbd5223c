-- concurrently
-- What is watched every second is found without a look at what was resolved, however much that is.
DROP INDEX CONCURRENTLY IF EXISTS sidecar.dead_letters_open_idx;
CREATE INDEX CONCURRENTLY dead_letters_open_idx
    ON sidecar.dead_letters (projection, first_failed_at) INCLUDE (position)
    WHERE resolution IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS sidecar.dead_letters_latest_idx;
CREATE INDEX CONCURRENTLY dead_letters_latest_idx ON sidecar.dead_letters (last_failed_at)
    WHERE resolution IS NULL;
