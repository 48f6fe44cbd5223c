-- Statements on a read model that is made to be thrown away.

-- name: may_make_schema
-- Whether the role may, and the statement that lets it.
SELECT has_database_privilege(current_database(), 'CREATE') AS may,
       format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user) AS statement;

-- name: list_scratch
SELECT nspname AS schema FROM pg_namespace WHERE nspname LIKE 'sidecar\_check\_%';

-- name: try_own_scratch
-- The lock ends with the session, so that what a killed process left behind is nobody's.
SELECT pg_try_advisory_lock(hashtextextended($1, 0));

-- name: give_up_scratch
SELECT pg_advisory_unlock(hashtextextended($1, 0));

-- name: list_scratch_tables
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r'
ORDER BY c.relname;

-- name: list_made_elsewhere
-- What this transaction has made, changed or written outside of schema $1. A foreign key that leads
-- out of it takes another lock.
SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
  AND l.mode IN ('RowExclusiveLock', 'AccessExclusiveLock')
  AND c.relkind IN ('r', 'p', 'f', 'm', 'v', 'S') AND c.relpersistence <> 't'
  AND n.nspname <> $1 AND n.nspname !~ '^pg_'
ORDER BY name;

-- name: divide_streams
-- By streams $1, to which of $2 partitions each belongs.
SELECT s.stream, (hashtext(s.stream) & 2147483647) % $2::integer AS partition
FROM unnest($1::text[]) AS s (stream);

-- name: begin_check
-- What a transaction has to know of its checkpoint, which is kept elsewhere.
SELECT 0::bigint AS position, pg_current_xact_id()::text AS transaction, false AS has_parked,
       0::bigint AS start_position;

-- name: stamp_tables
-- Of each of tables $1 a text that is another one once this transaction has changed its rows; null
-- where the server does not count.
SELECT CASE WHEN current_setting('track_counts')::boolean THEN concat_ws(
    ' ', pg_stat_get_xact_tuples_inserted(t.oid), pg_stat_get_xact_tuples_updated(t.oid),
    pg_stat_get_xact_tuples_deleted(t.oid), pg_relation_filenode(t.oid)
) END AS stamp
FROM unnest($1::oid[]) WITH ORDINALITY AS t (oid, place)
ORDER BY t.place;
