-- concurrently
-- What was resolved long ago is found without a look at what is kept.
DROP INDEX CONCURRENTLY IF EXISTS sidecar.dead_letters_resolved_idx;
CREATE INDEX CONCURRENTLY dead_letters_resolved_idx ON sidecar.dead_letters (resolved_at)
    WHERE resolution IS NOT NULL;
