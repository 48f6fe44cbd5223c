-- concurrently
-- What is never to be applied is asked for with each batch, and by whatever applies the log anew.
DROP INDEX CONCURRENTLY IF EXISTS sidecar.dead_letters_discarded_idx;
CREATE INDEX CONCURRENTLY dead_letters_discarded_idx ON sidecar.dead_letters (projection, position)
    WHERE resolution = 'discarded' AND position IS NOT NULL;
