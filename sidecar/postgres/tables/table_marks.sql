-- Statements on the marks of read models' tables. `$2` matches valid names where a name is looked up,
-- as in `list_claims`.

-- name: lock_marks
-- Of projection $1, so that what marks its tables next sees them as a swap left them.
SELECT FROM sidecar.table_marks WHERE projection = $1 FOR UPDATE;

-- name: mark_tables
-- The tables of projection $1 as they are now. With $3 what was told of them is settled.
INSERT INTO sidecar.table_marks AS m (projection, name, relid, filenode, live_rows, inserted)
SELECT DISTINCT c.projection, t.name, r.oid, r.relfilenode, pg_stat_get_live_tuples(r.oid),
       pg_stat_get_tuples_inserted(r.oid)
FROM sidecar.checkpoints c
CROSS JOIN LATERAL unnest(c.tables) AS t (name)
JOIN pg_class r ON r.oid = CASE WHEN t.name ~ $2 THEN to_regclass(t.name) END
WHERE c.projection = $1 AND c.copy = 'live' AND r.relkind IN ('r', 'p') AND r.relpersistence <> 't'
ON CONFLICT (projection, name) DO UPDATE
SET relid = excluded.relid, filenode = excluded.filenode, live_rows = excluded.live_rows,
    inserted = excluded.inserted, marked_at = clock_timestamp(), left_position = NULL,
    change = CASE WHEN NOT $3 THEN m.change END,
    changed_at = CASE WHEN NOT $3 THEN m.changed_at END,
    last_changed_at = CASE WHEN NOT $3 THEN m.last_changed_at END
WHERE $3::boolean OR m.left_position IS NOT NULL
   OR (m.relid, m.filenode) <> (excluded.relid, excluded.filenode);

-- name: mark_emptied
-- Tables of projection $1 that this transaction writes, in which it has emptied one: rows that vanish
-- at once tell nothing of them any more. So `live_rows` is -1, for unknown.
UPDATE sidecar.table_marks m
SET live_rows = -1, filenode = CASE WHEN l.is_rewritten THEN r.relfilenode ELSE m.filenode END,
    marked_at = clock_timestamp()
FROM pg_class r
CROSS JOIN LATERAL (
    SELECT bool_or(mode = 'AccessExclusiveLock') AS is_rewritten
    FROM pg_locks
    WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = r.oid
      AND mode IN ('RowExclusiveLock', 'AccessExclusiveLock')
    HAVING count(*) > 0
) AS l
WHERE m.projection = $1 AND r.oid = m.relid AND (m.live_rows >= 0 OR l.is_rewritten);

-- name: find_replaced
-- A setup that has made a table anew leaves it without the rows up to the checkpoint.
UPDATE sidecar.table_marks m
SET change = 'replaced', changed_at = coalesce(m.changed_at, clock_timestamp()),
    last_changed_at = clock_timestamp()
FROM pg_class r
WHERE m.projection = $1 AND r.oid = CASE WHEN m.name ~ $2 THEN to_regclass(m.name) END
  AND r.relkind = 'r' AND r.oid <> m.relid AND pg_relation_size(r.oid) = 0
  AND EXISTS (
      SELECT FROM sidecar.checkpoints c
      WHERE c.projection = $1 AND c.copy = 'live' AND c.position > 0
  );

-- name: leave_tables
-- Those that projection $1 declares no more.
UPDATE sidecar.table_marks m
SET left_position = (
    SELECT avg(position) FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'
)
WHERE m.projection = $1 AND m.left_position IS NULL AND NOT EXISTS (
    SELECT FROM sidecar.checkpoints c
    WHERE c.projection = $1 AND c.copy = 'live' AND m.name = ANY(c.tables)
);

-- name: find_new_tables
-- Those that projection $1 declares and has no mark of, once for each of its partitions; none for
-- one of which nothing is known from a start before.
SELECT t.name, c.partition, c.partitions, c.position > c.start_position AS has_run
FROM sidecar.checkpoints c CROSS JOIN LATERAL unnest(c.tables) AS t (name)
WHERE c.projection = $1 AND c.copy = 'live'
  AND NOT EXISTS (
      SELECT FROM sidecar.table_marks m WHERE m.projection = $1 AND m.name = t.name
  )
  AND (
      c.code_changed_at IS NOT NULL
      OR EXISTS (SELECT FROM sidecar.table_marks m WHERE m.projection = $1)
  );

-- name: find_strange_tables
-- Those of $3 that projection $1 did not have up to now, as they are, under another name.
SELECT t.name, r.oid FROM unnest($3::text[]) AS t (name)
JOIN pg_class r ON r.oid = CASE WHEN t.name ~ $2 THEN to_regclass(t.name) END
WHERE r.relkind IN ('r', 'p') AND NOT EXISTS (
    SELECT FROM sidecar.table_marks m
    WHERE m.projection = $1 AND m.relid = r.oid AND m.change IS NULL AND m.left_position = (
        SELECT avg(position) FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'
    )
);

-- name: take_up_tables
-- Of projection $1 those that it left and has gone on without, and those of the names $2.
UPDATE sidecar.table_marks m
SET change = coalesce(m.change, 'unfilled'), left_position = NULL,
    changed_at = coalesce(m.changed_at, clock_timestamp()), last_changed_at = clock_timestamp()
FROM (
    SELECT max(tables) AS tables, avg(position) AS position
    FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'
) AS c
WHERE m.projection = $1 AND m.name = ANY(c.tables)
  AND (m.name = ANY($2::text[]) OR c.position > m.left_position)
RETURNING m.name, m.change, m.changed_at;

-- name: look_at_tables
-- Every marked table, or those of projection $1, with what the catalogue and the server's counts
-- tell of it. It takes no lock on a table that is as it was. `moves` changes with whatever its
-- projections may have written.
SELECT m.projection, m.name AS table, m.relid AS marked_relid, m.filenode AS marked_filenode,
       m.live_rows AS marked_rows, m.inserted AS marked_inserted, m.marked_at, m.change,
       m.changed_at, r.oid AS relid, r.relfilenode AS filenode, r.reltuples >= 0 AS is_counted,
       CASE WHEN r.relfilenode <> m.filenode
            THEN pg_relation_size(r.oid) = 0 ELSE false END AS is_empty,
       r.relpersistence = 'u' AS is_unlogged,
       pg_stat_get_live_tuples(r.oid) AS live_rows,
       pg_stat_get_tuples_inserted(r.oid) AS inserted,
       pg_stat_get_tuples_updated(r.oid) AS updated,
       pg_stat_get_tuples_deleted(r.oid) AS deleted,
       pg_stat_get_vacuum_count(r.oid) + pg_stat_get_autovacuum_count(r.oid)
           + pg_stat_get_analyze_count(r.oid) + pg_stat_get_autoanalyze_count(r.oid) AS estimates,
       c.position, c.moves, clock_timestamp() AS seen_at,
       pg_snapshot_xmax(pg_current_snapshot())::text AS next_transaction
FROM sidecar.table_marks m
JOIN pg_class r ON r.oid = CASE WHEN m.name ~ $2 THEN to_regclass(m.name) END AND r.relkind IN ('r', 'p')
CROSS JOIN LATERAL (
    SELECT sum(position)::bigint AS position,
           concat_ws(' ', sum(position), max(moved_at), count(*)) AS moves,
           bool_or(projection = m.projection) AS is_declared
    FROM sidecar.checkpoints WHERE copy = 'live' AND m.name = ANY(tables)
) AS c
WHERE ($1::text IS NULL OR m.projection = $1) AND c.is_declared
ORDER BY m.projection, m.name;

-- name: mark_rows
-- What table of projection $1 has by now, for whoever looks at it first after a crash.
UPDATE sidecar.table_marks SET live_rows = $5, inserted = $6
WHERE projection = $1 AND name = $2 AND relid = $3 AND filenode = $4 AND live_rows >= 0;

-- name: tell_change
-- Unless the table of projection $1 was marked anew since it was looked at: $3 and $4 are what it
-- was then, $5 to $8 what it is.
UPDATE sidecar.table_marks
SET relid = $5, filenode = $6, live_rows = CASE WHEN live_rows < 0 THEN live_rows ELSE $7 END,
    inserted = $8, change = $9, changed_at = coalesce(changed_at, clock_timestamp()),
    last_changed_at = clock_timestamp()
WHERE projection = $1 AND name = $2 AND relid = $3 AND filenode = $4
RETURNING changed_at;

-- name: settle_changes
-- What was told of the tables that projection $1 declares, up to the moment $2; null for all of it.
UPDATE sidecar.table_marks
SET change = NULL, changed_at = NULL, last_changed_at = NULL, marked_at = clock_timestamp()
WHERE projection = $1 AND change IS NOT NULL AND left_position IS NULL
  AND ($2::timestamptz IS NULL OR last_changed_at < $2)
RETURNING name;

-- name: place_to_search
-- Of table $1, for a statement; null without the right to read it.
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.oid = $1::oid AND has_table_privilege(c.oid, 'SELECT')
  AND has_schema_privilege(c.relnamespace, 'USAGE');

-- name: has_retried_since
-- A letter that was taken up again writes without moving a checkpoint.
SELECT EXISTS (
    SELECT FROM sidecar.dead_letters
    WHERE projection = $1 AND greatest(resolved_at, last_failed_at) >= $2
);

-- name: forget_marks
DELETE FROM sidecar.table_marks WHERE projection = $1;
