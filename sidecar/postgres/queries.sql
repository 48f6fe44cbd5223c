-- Every statement that the sidecar runs, by name. Parameters are described where their order is not
-- plain from the text. The log is always read in one statement, in one snapshot. Statements also
-- run in sessions of the service, which may have codecs of its own. These are passed by where that
-- is possible, except within arrays: so json, uuid, timestamptz, and what an array of the service
-- may hold otherwise, are passed as text and cast here.

-- name: inspect_server
SELECT
  (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS is_encrypted,
  coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false) AS is_superuser,
  current_setting('max_connections')::int AS max_connections,
  coalesce(current_setting('superuser_reserved_connections', true), '0')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved_connections,
  coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1) AS role_limit,
  (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'statement_timeout')
    AS statement_timeout_seconds,
  (SELECT setting::float8 / 1000 FROM pg_settings
    WHERE name = 'idle_in_transaction_session_timeout') AS idle_timeout_seconds;

-- name: try_lock_probe
SELECT pg_try_advisory_lock($1, $2);

-- name: is_probe_locked
SELECT EXISTS (
  SELECT FROM pg_locks
  WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid::int8 = $1 AND objid::int8 = $2
);

-- name: unlock_probe
SELECT pg_advisory_unlock($1, $2);

-- name: ping
SELECT current_setting('transaction_read_only') = 'off' AS takes_writes,
       pg_is_in_recovery() AS is_standby;

-- name: lift_limits
-- For this transaction if $1, else for the session. Servers before 17 know no
-- `transaction_timeout`.
SELECT set_config(name, '0', $1::boolean)
FROM pg_settings
WHERE name IN (
    'statement_timeout', 'transaction_timeout', 'idle_session_timeout',
    'idle_in_transaction_session_timeout'
);

-- name: lock_migrations
SELECT pg_advisory_xact_lock(7236173, 0);

-- name: try_lock_builds
-- Held until the session ends, by the process that builds indexes.
SELECT pg_try_advisory_lock(7236173, 3);

-- name: unlock_builds
SELECT pg_advisory_unlock(7236173, 3);

-- name: lock_setups
-- Held until the session ends, by the worker whose setup runs. Migrations need not wait for it.
SELECT pg_advisory_lock(7236173, 1);

-- name: lock_setup
-- Two workers that start together must not create the same table; this waits without limit.
SELECT pg_advisory_xact_lock(7236176, hashtext($1));

-- name: lock_registrations
SELECT pg_advisory_xact_lock(7236173, 2);

-- name: create_migrations
CREATE SCHEMA IF NOT EXISTS sidecar;
CREATE TABLE IF NOT EXISTS sidecar.migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: has_migrations
SELECT to_regclass('sidecar.migrations') IS NOT NULL;

-- name: list_strangers
-- What stands in the schema that is not the sidecar's: all of it, until its migrations are there.
SELECT c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sidecar' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (
    SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass('sidecar.migrations')
    HAVING count(*) FILTER (WHERE a.attname IN ('number', 'name', 'applied_at')) = 3
)
ORDER BY c.relname
LIMIT 3;

-- name: list_migrations
SELECT number FROM sidecar.migrations ORDER BY number;

-- name: list_missing_rights
-- Statements that grant the role of this session what it lacks, found in the catalogues: the text
-- of a refusal is in the server's language, and names one object at a time. With $1 also the right
-- to change the schema, which only its owner has.
WITH asked AS (
    SELECT quote_ident(current_user) AS role,
           (SELECT oid FROM pg_namespace WHERE nspname = 'sidecar') AS schema
), tables AS (
    SELECT c.oid FROM pg_class c, asked
    WHERE c.relnamespace = asked.schema AND c.relkind IN ('r', 'p')
)
SELECT format('GRANT CREATE ON DATABASE %I TO %s', current_database(), role) AS statement
FROM asked
WHERE schema IS NULL AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT format('GRANT USAGE ON SCHEMA sidecar TO %s', role)
FROM asked
WHERE schema IS NOT NULL AND NOT has_schema_privilege(schema, 'USAGE')
UNION ALL
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sidecar TO %s', role)
FROM asked
WHERE EXISTS (
    SELECT FROM tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS verb
    WHERE NOT has_table_privilege(tables.oid, verb)
)
UNION ALL
SELECT format('GRANT %I TO %s', pg_get_userbyid(n.nspowner), role)
FROM asked JOIN pg_namespace n ON n.oid = asked.schema
WHERE $1::boolean AND NOT pg_has_role(n.nspowner, 'USAGE');

-- name: find_letter_rights
-- For an application that keeps dead letters; no row while there is no table for them.
SELECT concat_ws(
    '; ',
    CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE')
         THEN format('GRANT USAGE ON SCHEMA sidecar TO %I', current_user) END,
    CASE WHEN NOT (
             has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
             AND has_table_privilege(c.oid, 'UPDATE')
         )
         THEN format('GRANT SELECT, INSERT, UPDATE ON sidecar.dead_letters TO %I', current_user) END
) AS missing
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sidecar' AND c.relname = 'dead_letters';

-- name: record_migration
INSERT INTO sidecar.migrations (number, name) VALUES ($1, $2);

-- name: read_sequence
-- `passed` is the highest position of an event or a checkpoint; `last_value` is null where none was
-- drawn yet, or the role has no right to read it. It is read after the snapshot was taken, so that
-- it is never too low.
SELECT s.cache_size, s.last_value,
       greatest(
           coalesce((SELECT max(position) FROM sidecar.events), 0),
           coalesce((SELECT max(position) FROM sidecar.checkpoints), 0)
       ) AS passed
FROM pg_sequences s
WHERE format('%I.%I', s.schemaname, s.sequencename)
      = pg_get_serial_sequence('sidecar.events', 'position');

-- name: append_one
-- $2 expected version or null. The version is checked before the insert, so that a conflict draws
-- no position; then no row comes back.
INSERT INTO sidecar.events (stream, version, id, type, schema_version, data, metadata)
SELECT $1, coalesce(max(version), 0) + 1, $3::text::uuid, $4, $5, $6::text::json, $7::text::json
FROM sidecar.events WHERE stream = $1
HAVING $2::bigint IS NULL OR coalesce(max(version), 0) = $2
RETURNING version, position;

-- name: append_many
-- The same for arrays of ids, types, schema versions and data.
INSERT INTO sidecar.events (stream, version, id, type, schema_version, data, metadata)
SELECT $1, head.version + e.ordinality, e.id::uuid, e.type, e.schema_version::integer,
       e.data::json, $7::text::json
FROM (SELECT coalesce(max(version), 0) AS version FROM sidecar.events WHERE stream = $1) AS head,
     unnest($3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS e (id, type, schema_version, data, ordinality)
WHERE $2::bigint IS NULL OR head.version = $2
RETURNING version, position;

-- name: find_append_ids
SELECT stream, version, position FROM sidecar.append_ids WHERE id = ANY($1::text[]::uuid[])
ORDER BY version;

-- name: keep_append_ids
-- Of events that were appended to stream $2 above version $3.
INSERT INTO sidecar.append_ids (id, stream, version, position)
SELECT i.id::uuid, $2, e.version, e.position
FROM unnest($1::text[]) WITH ORDINALITY AS i (id, place)
JOIN sidecar.events e ON e.stream = $2 AND e.version = $3 + i.place;

-- name: read_stream_version
SELECT coalesce(max(version), 0) FROM sidecar.events WHERE stream = $1;

-- name: read_reached
-- For each of those who wait, for projection $1 to have stream $2, or null for all of them, up to
-- position $3: up to where it has come, of a stream its partition. A dead letter parks the stream, or
-- else that of the event at the position. An event that waits for its next try is not applied yet.
SELECT c.reached, c.state, c.detail,
       (
           SELECT d.stream FROM sidecar.dead_letters d
           WHERE d.projection = a.projection AND d.stream = coalesce(a.stream, e.stream)
             AND d.resolution IS NULL AND d.position <= a.position AND d.category <> 'retry'
       ) AS parked,
       EXISTS (
           SELECT FROM sidecar.dead_letters d
           WHERE d.projection = a.projection AND (a.stream IS NULL OR d.stream = a.stream)
             AND d.resolution IS NULL AND d.position <= a.position AND d.category = 'retry'
       ) AS is_retried
FROM (
    SELECT projection, stream, position::bigint, place
    FROM unnest($1::text[], $2::text[], $3::text[])
        WITH ORDINALITY AS w (projection, stream, position, place)
) AS a
LEFT JOIN sidecar.events e ON a.stream IS NULL AND e.position = a.position
LEFT JOIN LATERAL (
    SELECT min(c.position) AS reached,
           coalesce(min(c.state) FILTER (WHERE c.state <> 'running'), 'running') AS state,
           min(c.detail) FILTER (WHERE c.state <> 'running') AS detail
    FROM sidecar.checkpoints c
    WHERE c.projection = a.projection AND c.copy = 'live' AND (
        a.stream IS NULL OR (hashtext(a.stream) & 2147483647) % c.partitions = c.partition
    )
) AS c ON true
ORDER BY a.place;

-- name: read_stream
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events
WHERE stream = $1 AND version > $2
ORDER BY version
LIMIT $3;

-- name: read_stream_until
-- A parked stream's events from version $2 up to the checkpoint, bounded as in read_page, without
-- those that were discarded for projection $6, or that it does without.
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM (
    SELECT *, sum(
        pg_column_size(data)
        * CASE pg_column_compression(data) WHEN 'pglz' THEN 11 WHEN 'lz4' THEN 32 ELSE 1 END
    ) OVER (ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight
    FROM (
        SELECT *
        FROM sidecar.events e
        WHERE stream = $1 AND version >= $2 AND position <= $3
          AND NOT EXISTS (
              SELECT FROM sidecar.discards d
              WHERE d.projection = $6 AND d.position = e.position
          )
          AND NOT EXISTS (
              SELECT FROM sidecar.accepted_gaps g
              WHERE g.projection = $6 AND g.type = e.type
                AND e.position BETWEEN g.first_position AND g.last_position
                AND (hashtext(e.stream) & 2147483647) % g.partitions = g.partition
          )
        ORDER BY version
        LIMIT $4
    ) AS page
) AS measured
WHERE coalesce(weight, 0) < $5::bigint
ORDER BY version;

-- name: read_stream_left
-- What a stream has above position $2, up to $3, whatever its versions, without what was discarded.
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events e
WHERE stream = $1 AND position > $2 AND position <= $3
  AND NOT EXISTS (
      SELECT FROM sidecar.discards d WHERE d.projection = $5 AND d.position = e.position
  )
ORDER BY position LIMIT $4;

-- name: read_log
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events
WHERE position > $1 AND position <= $2
ORDER BY position
LIMIT $3;

-- name: read_page
-- As read_log, of types $5 or null for all, and bounded by $4 bytes of data as well; the first
-- event is always returned. The stored size of a value is known without reading a TOASTed value,
-- but not its uncompressed size: up to 88 (pglz) or 255 (lz4) times as much. An eighth of that is
-- counted, so that a page is at most 8 times the bound when uncompressed.
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM (
    SELECT *, sum(
        pg_column_size(data)
        * CASE pg_column_compression(data) WHEN 'pglz' THEN 11 WHEN 'lz4' THEN 32 ELSE 1 END
    ) OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight
    FROM (
        SELECT *
        FROM sidecar.events
        WHERE position > $1 AND position <= $2
          AND ($5::text[] IS NULL OR type = ANY($5::text[]))
        ORDER BY position
        LIMIT $3
    ) AS page
) AS measured
WHERE coalesce(weight, 0) < $4::bigint
ORDER BY position;

-- name: read_small_page
-- As read_page, at three quarters of its cost, since nothing is added up: an event that takes more
-- than its share of the $4 bytes comes without its data, and the page has to be read by read_page.
SELECT position, stream, version, uuid_send(id), type, schema_version,
       CASE
           WHEN pg_column_size(data)
                * CASE pg_column_compression(data) WHEN 'pglz' THEN 11 WHEN 'lz4' THEN 32 ELSE 1 END
                <= $4::bigint / $3::bigint
           THEN data::text
       END,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events
WHERE position > $1 AND position <= $2
  AND ($5::text[] IS NULL OR type = ANY($5::text[]))
ORDER BY position
LIMIT $3::bigint;

-- name: has_events
SELECT EXISTS (SELECT FROM sidecar.events);

-- name: read_last_position
SELECT coalesce(max(position), 0) FROM sidecar.events;

-- name: does_log_reach
SELECT EXISTS (SELECT FROM sidecar.events WHERE position >= $1);

-- name: read_partition_page
-- As read_page, for streams whose hash falls into partition $6 of $7.
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM (
    SELECT *, sum(
        pg_column_size(data)
        * CASE pg_column_compression(data) WHEN 'pglz' THEN 11 WHEN 'lz4' THEN 32 ELSE 1 END
    ) OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight
    FROM (
        SELECT *
        FROM sidecar.events
        WHERE position > $1 AND position <= $2
          AND (hashtext(stream) & 2147483647) % $7::integer = $6::integer
          AND ($5::text[] IS NULL OR type = ANY($5::text[]))
        ORDER BY position
        LIMIT $3
    ) AS page
) AS measured
WHERE coalesce(weight, 0) < $4::bigint
ORDER BY position;

-- name: scan_log
-- The next $2 visible positions above mark $1, as the last of them and the gaps before it.
SELECT coalesce(max(position), $1) AS last,
       coalesce(array_agg(before + 1 ORDER BY position) FILTER (WHERE position - before > 1), '{}')
           AS firsts,
       coalesce(array_agg(position - 1 ORDER BY position) FILTER (WHERE position - before > 1), '{}')
           AS lasts,
       count(*) AS seen,
       coalesce((SELECT max(position) FROM sidecar.events), 0) AS highest
FROM (
    SELECT position, lag(position, 1, $1::bigint) OVER (ORDER BY position) AS before
    FROM (
        SELECT position FROM sidecar.events WHERE position > $1 ORDER BY position LIMIT $2
    ) AS page
) AS numbered;

-- name: read_proved_position
-- Where the safe head certainly was already: no checkpoint ever stands above it.
SELECT greatest(
    coalesce((SELECT max(position) FROM sidecar.checkpoints), 0),
    coalesce((
        SELECT last_position FROM sidecar.skipped_positions ORDER BY first_position DESC LIMIT 1
    ), 0)
);

-- name: list_writers
-- Transactions that hold, or have prepared, a write on the log or one of its partitions.
SELECT l.virtualtransaction AS id, l.pid, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_seconds
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode = 'RowExclusiveLock'
  AND l.granted
  AND l.relation IN (
      SELECT 'sidecar.events'::regclass
      UNION ALL SELECT relid FROM pg_partition_tree('sidecar.events')
  );

-- name: record_skip
INSERT INTO sidecar.skipped_positions (first_position, last_position) VALUES ($1, $2)
ON CONFLICT (first_position) DO NOTHING;

-- name: list_partitions
SELECT partition, partitions, position, state, detail, block, service, start_position
FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live' ORDER BY partition FOR UPDATE;

-- name: delete_partitions
DELETE FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live';

-- name: create_checkpoint
INSERT INTO sidecar.checkpoints (
    projection, partition, partitions, kind, tables, service, position, state, detail, block,
    start_position
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: find_position_before
-- The last one before the first event that was recorded at $1, in seconds since 1970, or later.
SELECT min(position) - 1 FROM sidecar.events WHERE recorded_at >= to_timestamp($1::float8);

-- name: declare_tables
UPDATE sidecar.checkpoints SET tables = $2
WHERE projection = $1 AND copy = 'live' AND tables IS DISTINCT FROM $2;

-- name: list_claims
-- The tables that each projection declares, with the tables that the names stand for, and the
-- schema in which one of that name would be created. $1 matches valid names: `to_regclass` fails
-- for others.
SELECT c.projection, max(c.partitions) AS partitions, t.name,
       max(c.position) > 0 OR max(c.moved_at) IS NOT NULL AS has_run,
       CASE WHEN t.name ~ $1 THEN to_regclass(t.name)::oid END AS oid,
       current_schema() AS schema
FROM sidecar.checkpoints c CROSS JOIN LATERAL unnest(c.tables) AS t (name)
WHERE c.copy = 'live'
GROUP BY c.projection, t.name;

-- name: find_tables
-- Those of the tables $1 that exist; $2 as in `list_claims`. Of a table that the role has no right
-- to read only the number of pages is known.
SELECT t.name, c.oid::regclass::text AS place,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE')
           AS can_read,
       pg_relation_size(c.oid) > 0 AS has_pages
FROM unnest($1::text[]) AS t (name)
JOIN pg_class c ON c.oid = CASE WHEN t.name ~ $2 THEN to_regclass(t.name) END
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: block
UPDATE sidecar.checkpoints SET state = 'failed', detail = $2, block = $3
WHERE projection = $1 AND copy = 'live';

-- name: unblock
UPDATE sidecar.checkpoints SET state = 'running', detail = NULL, block = NULL
WHERE projection = $1 AND copy = 'live';

-- name: set_service
UPDATE sidecar.checkpoints SET service = $2 WHERE projection = $1 AND copy = 'live';

-- name: read_block
SELECT block, detail FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live' AND block IS NOT NULL LIMIT 1;

-- name: accept_position
UPDATE sidecar.checkpoints
SET position = $2, moved_at = clock_timestamp(), state = 'running', detail = NULL, block = NULL,
    start_position = CASE WHEN block = 'ahead' THEN $2 ELSE start_position END
WHERE projection = $1 AND copy = 'live' AND block IN ('filled', 'gone', 'ahead', 'lost', 'renamed')
RETURNING partition;

-- name: keep_acceptance
INSERT INTO sidecar.acceptances (projection, what, reason) VALUES ($1, $2, $3);

-- name: read_checkpoint
-- Here and in the next two the number of partitions is part of the key: a loop with another number
-- reads other streams, and must not move the row past streams that it does not read.
SELECT position, state,
       ARRAY(
           SELECT d.position::text FROM sidecar.discards d
           WHERE d.projection = c.projection AND d.position > c.position
       ) AS discarded,
       ARRAY(
           SELECT h.type FROM sidecar.declarations h
           WHERE h.projection = c.projection AND h.retired_at IS NULL ORDER BY h.type
       ) AS declared
FROM sidecar.checkpoints c
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4;

-- name: lock_checkpoint
-- With $6 one that is marked as failed counts as running, unless it waits for a person's decision.
-- With $5 all effects of the transaction are in it: a crash that loses its commit loses the
-- checkpoint too, and the events are applied again. So the commit need not wait for the disk. While
-- a handler waits for something else the session is idle, under the limit of the handler instead of
-- the server's, as is the whole transaction (a limit since version 17): the end of a session is
-- transient, so that such an event would be tried for ever. What a handler does cannot be undone, so
-- that it is asked on which server it would be.
SELECT position,
       CASE WHEN $6::boolean AND state = 'failed' AND block IS NULL THEN 'running' ELSE state END
           AS state,
       pg_current_xact_id()::text AS transaction,
       EXISTS (
           SELECT FROM sidecar.dead_letters d
           WHERE d.projection = c.projection AND c.copy = 'live'
             AND d.resolution IS NULL AND d.position IS NOT NULL
       ) AS has_parked,
       ARRAY(
           SELECT d.position::text FROM sidecar.discards d
           WHERE d.projection = c.projection AND d.position > c.position
       ) AS discarded,
       ARRAY(
           SELECT h.type FROM sidecar.declarations h
           WHERE h.projection = c.projection AND h.retired_at IS NULL ORDER BY h.type
       ) AS declared,
       handles,
       CASE WHEN kind = 'handler'
            THEN extract(epoch FROM pg_postmaster_start_time())::text || ' '
                 || 'sidecar.events'::regclass::oid END AS server_key,
       set_config('idle_in_transaction_session_timeout', '0', true),
       CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
            THEN set_config('transaction_timeout', '0', true) END,
       CASE WHEN $5::boolean THEN set_config('synchronous_commit', 'off', true) END
FROM sidecar.checkpoints c
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4
FOR UPDATE OF c;

-- name: move_checkpoint
-- Compare and set: $5 is the position that the owner expects, $7 the transaction that it began.
UPDATE sidecar.checkpoints SET position = $6, moved_at = clock_timestamp()
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4 AND position = $5
  AND pg_current_xact_id()::text = $7;

-- name: read_transaction
SELECT pg_current_xact_id()::text;

-- name: end_handled_range
UPDATE sidecar.handled_ranges SET upto_position = $4
WHERE projection = $1 AND copy = $2 AND partition = $3 AND upto_position IS NULL;

-- name: begin_handled_range
WITH begun AS (
    INSERT INTO sidecar.handled_ranges (projection, copy, partition, partitions, types, from_position)
    VALUES ($1, $2, $3, $4, $6, $5)
)
UPDATE sidecar.checkpoints SET handles = $6
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4;

-- name: end_handled_ranges
-- Of the live copy; its next move begins others.
WITH ended AS (
    UPDATE sidecar.handled_ranges r SET upto_position = c.position
    FROM sidecar.checkpoints c
    WHERE r.projection = $1 AND r.copy = 'live' AND r.upto_position IS NULL
      AND c.projection = $1 AND c.copy = 'live' AND c.partition = r.partition
)
UPDATE sidecar.checkpoints SET handles = NULL WHERE projection = $1 AND copy = 'live';

-- name: forget_handled_ranges
-- Of copy $2, or of both.
DELETE FROM sidecar.handled_ranges
WHERE projection = $1 AND ($2::text IS NULL OR copy = $2::text);

-- name: take_over_handled_ranges
UPDATE sidecar.handled_ranges SET copy = 'live' WHERE projection = $1 AND copy = 'rebuild';

-- name: has_handled_ranges
SELECT EXISTS (SELECT FROM sidecar.handled_ranges WHERE projection = $1);

-- name: open_counts
-- For the projections $1, with $2 and $3 as pairs of name and handled type: each type that any
-- release of one handles, in each part of the log whose release did not handle it. A retired type
-- does not count until a release declares it again, nor does what people accepted until a release
-- handles the type again.
WITH wanted AS (
    SELECT projection, type FROM unnest($2::text[], $3::text[]) AS h (projection, type)
    UNION
    SELECT r.projection, t.type FROM sidecar.handled_ranges r, unnest(r.types) AS t (type)
    WHERE r.projection = ANY($1) AND r.copy = 'live'
      AND NOT EXISTS (
          SELECT FROM sidecar.passed_over p JOIN sidecar.handled_ranges o ON o.id = p.range_id
          WHERE o.projection = r.projection AND p.type = t.type AND p.is_accepted
      )
), retired AS (
    SELECT projection, type FROM sidecar.declarations
    WHERE projection = ANY($1) AND retired_at IS NOT NULL
), dropped AS (
    DELETE FROM sidecar.passed_over p
    USING sidecar.handled_ranges r JOIN retired d USING (projection)
    WHERE r.id = p.range_id AND d.type = p.type AND NOT p.is_accepted
)
INSERT INTO sidecar.passed_over (range_id, type, counted_upto)
SELECT r.id, w.type, r.from_position
FROM sidecar.handled_ranges r JOIN wanted w USING (projection)
WHERE r.copy = 'live' AND w.type <> '*' AND NOT r.types && ARRAY['*', w.type]
  AND (w.projection, w.type) NOT IN (SELECT projection, type FROM retired)
ON CONFLICT (range_id, type) DO NOTHING;

-- name: count_passed_over
-- For the projections $1, from the last counted position, over at most $2 positions; those come
-- back of which more is left than that.
WITH due AS (
    SELECT p.range_id, p.type, p.counted_upto,
           least(coalesce(r.upto_position, c.position), p.counted_upto + $2::bigint) AS upto,
           coalesce(r.upto_position, c.position) AS ends_at, r.partition, r.partitions
    FROM sidecar.passed_over p
    JOIN sidecar.handled_ranges r ON r.id = p.range_id
    LEFT JOIN sidecar.checkpoints c
        ON c.projection = r.projection AND c.copy = 'live' AND c.partition = r.partition
    WHERE r.projection = ANY($1) AND r.copy = 'live'
      AND p.counted_upto < coalesce(r.upto_position, c.position)
), counted AS (
    SELECT d.range_id, d.type, d.upto, d.ends_at, count(e.position) AS events,
           min(e.position) AS first_position, max(e.position) AS last_position
    FROM due d
    LEFT JOIN sidecar.events e
        ON e.position > d.counted_upto AND e.position <= d.upto AND e.type = d.type
        AND (hashtext(e.stream) & 2147483647) % d.partitions = d.partition
    GROUP BY d.range_id, d.type, d.upto, d.ends_at
), kept AS (
    UPDATE sidecar.passed_over p
    SET counted_upto = c.upto, events = p.events + c.events,
        first_position = coalesce(p.first_position, c.first_position),
        last_position = coalesce(c.last_position, p.last_position)
    FROM counted c WHERE p.range_id = c.range_id AND p.type = c.type
    RETURNING c.upto < c.ends_at AS is_cut
)
SELECT count(*) FROM kept WHERE is_cut;

-- name: list_kinds
SELECT DISTINCT projection, kind FROM sidecar.checkpoints WHERE copy = 'live';

-- name: sample_passed_over
SELECT r.projection, p.type, sum(p.events)::bigint AS events,
       min(p.first_position) AS first_position, max(p.last_position) AS last_position
FROM sidecar.passed_over p JOIN sidecar.handled_ranges r ON r.id = p.range_id
WHERE r.copy = 'live' AND p.events > 0 AND NOT p.is_accepted
GROUP BY r.projection, p.type ORDER BY r.projection, p.type;

-- name: accept_passed_over
UPDATE sidecar.passed_over p SET is_accepted = true
FROM sidecar.handled_ranges r
WHERE r.id = p.range_id AND r.projection = $1 AND r.copy = 'live' AND p.events > 0
  AND NOT p.is_accepted AND ($2::text[] IS NULL OR p.type = ANY($2::text[]))
RETURNING p.type, p.events, p.first_position, p.last_position;

-- name: set_state
UPDATE sidecar.checkpoints SET state = $2, detail = $3
WHERE projection = $1 AND copy = 'live'
RETURNING partition;

-- name: fail_setup
-- A paused projection stays paused.
UPDATE sidecar.checkpoints SET state = 'failed', detail = $2
WHERE projection = $1 AND copy = 'live' AND state <> 'paused';

-- name: end_failure
-- One that waits for a person's decision goes on waiting.
UPDATE sidecar.checkpoints SET state = 'running', detail = NULL
WHERE projection = $1 AND copy = 'live' AND state = 'failed' AND block IS NULL;

-- name: stand_still
-- Of partition $3 of $4. A paused projection stays paused. Dead letters of the same type of error,
-- $6, kept before it was known to concern every event, are due as soon as the projection goes on.
WITH halted AS (
    UPDATE sidecar.checkpoints SET state = 'failed', detail = $5
    WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4 AND state = 'running'
    RETURNING partition
)
UPDATE sidecar.dead_letters SET retry_at = clock_timestamp()
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL AND error_type = $6
  AND (hashtext(stream) & 2147483647) % $4::integer = $3::integer
  AND EXISTS (SELECT FROM halted);

-- name: go_on
UPDATE sidecar.checkpoints SET state = 'running', detail = NULL
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4
  AND state = 'failed' AND block IS NULL;

-- name: list_missing_grants
-- What the role lacks of the rights that a projection needs to its tables $1, their sequences and
-- schemas.
WITH tables AS (
    SELECT c.oid, c.relnamespace AS schema FROM unnest($1::text[]) AS t (name)
    JOIN pg_class c ON c.oid = to_regclass(t.name)
), lacking AS (
    SELECT format('TABLE %s', oid::regclass) AS place, rights.name AS name, 2 AS rank
    FROM tables, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS rights (name)
    WHERE NOT has_table_privilege(oid, rights.name)
    UNION ALL
    SELECT format('SEQUENCE %s', d.objid::regclass), 'USAGE', 3
    FROM tables JOIN pg_depend d ON d.refobjid = tables.oid AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid
    WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END
    UNION ALL
    SELECT DISTINCT format('SCHEMA %s', schema::regnamespace), 'USAGE', 1
    FROM tables WHERE NOT has_schema_privilege(schema, 'USAGE')
)
SELECT format('GRANT %s ON %s TO %I', string_agg(name, ', ' ORDER BY name), place, current_user)
           AS statement
FROM lacking GROUP BY rank, place ORDER BY rank, place;

-- name: list_parked
SELECT stream FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL
LIMIT $2;

-- name: list_parked_among
SELECT stream FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL AND stream = ANY($2);

-- name: park
-- $13 null or the seconds after which it is retried automatically. An event that has not failed
-- often enough to be a dead letter is kept here as well, in category `retry`, and is shown nowhere
-- as one.
INSERT INTO sidecar.dead_letters (
    projection, stream, position, version, event_id, event_type,
    category, error_type, error_message, traceback, attempts, trace_id, retry_at
) VALUES (
    $1, $2, $3, $4, $5::text::uuid, $6, $7, $8, $9, $10, $11, $12,
    clock_timestamp() + make_interval(secs => $13::float8)
);

-- name: has_due_letters
-- With the position of the checkpoint, since an idle loop runs no other query. What waits for a
-- release with its type is due only where that is among the handled types $5.
SELECT position, state,
       EXISTS (
           SELECT FROM sidecar.dead_letters d
           WHERE d.projection = c.projection AND d.resolution IS NULL AND d.position IS NOT NULL
             AND d.retry_at <= clock_timestamp()
             AND (d.category <> 'unknown-type' OR d.event_type = ANY($5::text[])
                  OR '*' = ANY($5::text[]))
       ) AS has_due
FROM sidecar.checkpoints c
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4;

-- name: lock_due_letter
-- The one that has been due longest among the streams of partition $2 of $3, with $4 as the types
-- that are handled.
SELECT id, stream, position, version, attempts, category = 'retry' FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND retry_at <= clock_timestamp()
  AND position IS NOT NULL
  AND (hashtext(stream) & 2147483647) % $3::integer = $2::integer
  AND (category <> 'unknown-type' OR event_type = ANY($4::text[]) OR '*' = ANY($4::text[]))
ORDER BY retry_at, position
LIMIT 1
FOR UPDATE;

-- name: resolve_letter
UPDATE sidecar.dead_letters
SET resolution = $2, reason = $3, resolved_at = clock_timestamp(), retry_at = NULL
WHERE id = $1;

-- name: resolve_erased
-- With all that was kept of the event: one that was erased from the log must be kept nowhere.
UPDATE sidecar.dead_letters
SET resolution = 'erased', reason = 'its event is no longer in the log', error_message = '',
    traceback = '', event = NULL, resolved_at = clock_timestamp(), retry_at = NULL
WHERE id = $1;

-- name: forget_discards
-- A projection that is removed gave up nothing for a later one of its name.
DELETE FROM sidecar.discards WHERE projection = $1;

-- name: forget_letter
-- Of an event that waited for a retry, and has been applied; who forgets it is told to the trigger
-- that traces deletions.
DELETE FROM sidecar.dead_letters
WHERE id = $1 AND set_config('event_sidecar.forgets', projection, true) = projection;

-- name: delete_resolved_letters
-- Of those resolved more than $1 days ago at most $2, by one process of the service at a time. What
-- was discarded is never applied, and so stays known.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(7236173, 4) AS is_ours
), due AS (
    SELECT d.id FROM sidecar.dead_letters d
    WHERE (SELECT is_ours FROM turn) AND d.resolution IS NOT NULL
      AND d.resolved_at < now() - make_interval(days => $1::integer)
      AND (d.resolution <> 'discarded' OR d.position IS NULL OR EXISTS (
          SELECT FROM sidecar.discards x
          WHERE x.projection = d.projection AND x.position = d.position
      ))
    ORDER BY d.resolved_at
    LIMIT $2
    FOR UPDATE OF d SKIP LOCKED
), deleted AS (
    DELETE FROM sidecar.dead_letters WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING id
)
SELECT count(*) FROM deleted;

-- name: advance_letter
-- The dead letter now stands for a later event of its stream, not yet tried. Nothing is kept of one
-- that was erased from the log.
WITH kept AS (
    SELECT EXISTS (
        SELECT FROM sidecar.events e JOIN sidecar.dead_letters o USING (position) WHERE o.id = $1
    ) AS is_there
)
UPDATE sidecar.dead_letters
SET position = $2, version = $3, event_id = $4::text::uuid, event_type = $5, attempts = 0,
    category = CASE category WHEN 'unknown-type' THEN 'queued' ELSE category END,
    error_message = CASE WHEN is_there THEN error_message ELSE '' END,
    traceback = CASE WHEN is_there THEN traceback ELSE '' END
FROM kept WHERE id = $1;

-- name: fail_letter
-- $12 as in `park`.
UPDATE sidecar.dead_letters
SET position = $2, version = $3, event_id = $4::text::uuid, event_type = $5, category = $6,
    error_type = $7, error_message = $8, traceback = $9, attempts = $10, trace_id = $11,
    last_failed_at = clock_timestamp(),
    retry_at = clock_timestamp() + make_interval(secs => $12::float8)
WHERE id = $1;

-- name: request_retry
-- Of one dead letter $1, a projection $2 and a stream $3, each null for any. An event published in
-- process without a registered type was not kept, and cannot be retried; one of a type that only
-- another release handles is retried by that, without being asked.
UPDATE sidecar.dead_letters SET retry_at = clock_timestamp()
WHERE resolution IS NULL AND category NOT IN ('retry', 'unknown-type')
  AND (position IS NOT NULL OR event IS NOT NULL)
  AND ($1::bigint IS NULL OR id = $1)
  AND ($2::text IS NULL OR projection = $2)
  AND ($3::text IS NULL OR stream = $3)
RETURNING id;

-- name: try_lease
SELECT pg_try_advisory_lock(7236174, $1);

-- name: release_lease
SELECT pg_advisory_unlock(7236174, $1);

-- name: join_members
-- Of those with the same partitions, of which $1 is the hash.
SELECT pg_advisory_lock_shared(7236175, $1);

-- name: leave_members
SELECT pg_advisory_unlock_shared(7236175, $1);

-- name: list_leases
SELECT objid::bigint AS key, pid FROM pg_locks
WHERE locktype = 'advisory' AND classid = 7236174 AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: count_members
SELECT count(DISTINCT pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 7236175 AND objid::bigint = $1 AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: sample_projections
-- Lag in one snapshot against safe head $1. The age is that of the oldest event not yet applied.
SELECT c.projection, c.copy, c.partition, c.partitions, c.kind, c.position, c.state, c.detail,
       c.moved_at, c.created_at, c.block, c.release, c.code_changed_at, c.refilled_upto,
       c.copy = 'rebuild' AND c.state = 'failed'
           AND coalesce(p.needs_approval AND NOT p.is_approved, false) AS awaits_approval,
       greatest($1::bigint - c.position, 0) AS lag_events,
       coalesce((
           SELECT greatest(extract(epoch FROM clock_timestamp() - e.recorded_at), 0)::float8
           FROM sidecar.events e
           WHERE e.position > c.position AND e.position <= $1
           ORDER BY e.position LIMIT 1
       ), 0) AS lag_seconds,
       c.start_position
FROM sidecar.checkpoints c LEFT JOIN sidecar.previews p USING (projection)
ORDER BY c.projection, c.copy, c.partition;

-- name: sample_dead_letters
-- Those with a position park their stream, one each; those of published events park nothing. The
-- few that wait for a retry are no dead letters, and are subtracted with an index of their own.
SELECT projection, o.letters - coalesce(w.events, 0) AS letters,
       o.parked - coalesce(w.events, 0) AS parked,
       (
           SELECT d.first_failed_at FROM sidecar.dead_letters d
           WHERE d.projection = o.projection AND d.resolution IS NULL AND d.category <> 'retry'
           ORDER BY d.first_failed_at LIMIT 1
       ) AS oldest_at
FROM (
    SELECT projection, count(*) AS letters, count(position) AS parked
    FROM sidecar.dead_letters WHERE resolution IS NULL GROUP BY projection
) AS o
LEFT JOIN (
    SELECT projection, count(*) AS events
    FROM sidecar.dead_letters WHERE resolution IS NULL AND category = 'retry' GROUP BY projection
) AS w USING (projection)
WHERE o.letters > coalesce(w.events, 0);

-- name: sample_deleted_letters
-- Those of events that were erased from the log since lack nothing.
SELECT d.projection, count(*) AS letters, sum(d.events)::bigint AS events,
       array_agg(DISTINCT d.deleted_by ORDER BY d.deleted_by) AS roles,
       max(d.deleted_at) AS last_at,
       coalesce((
           SELECT min(c.kind) FROM sidecar.checkpoints c WHERE c.projection = d.projection
       ), '') AS kind
FROM sidecar.deleted_dead_letters d
WHERE NOT d.is_settled
  AND (d.position IS NULL OR EXISTS (SELECT FROM sidecar.events e WHERE e.position = d.position))
GROUP BY d.projection;

-- name: settle_deleted_letters
UPDATE sidecar.deleted_dead_letters SET is_settled = true
WHERE projection = $1 AND NOT is_settled
RETURNING events;

-- name: sample_recent_failures
SELECT id, projection, stream, position, event_type, error_type, attempts, trace_id, last_failed_at
FROM sidecar.dead_letters WHERE resolution IS NULL AND category <> 'retry'
ORDER BY last_failed_at DESC LIMIT $1;

-- name: sample_skips
-- Those after $1, and the last of them: followers record them in order, so none is counted twice.
SELECT coalesce(sum(last_position - first_position + 1), 0)::bigint AS positions,
       coalesce(max(first_position), $1) AS last
FROM sidecar.skipped_positions WHERE first_position > $1;

-- name: bound_watch
-- For this session: milliseconds that a statement may take, and may wait for a lock.
SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false);

-- name: sample_leases
SELECT l.objid::bigint AS key, a.application_name FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 7236174 AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: sample_server
-- Numbers of the server's own, each named as its metric is behind `sidecar.store.`.
SELECT (
           SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(xact_start)), 0), 0)
           FROM pg_stat_activity
           WHERE datname = current_database() AND backend_type = 'client backend'
             AND pid <> pg_backend_pid()
       )::float8 AS oldest_transaction,
       (
           SELECT count(*) FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL
       )::float8 AS inactive_slots;

-- name: sample_activity
SELECT coalesce(application_name, '') AS application_name, coalesce(state, '') AS state,
       count(*) AS sessions
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
GROUP BY 1, 2;

-- name: list_recent_versions
-- Newest schema version by type among the last $1 positions.
SELECT type, max(schema_version) AS schema_version FROM sidecar.events
WHERE position > (SELECT coalesce(max(position), 0) FROM sidecar.events) - $1::bigint
GROUP BY type;

-- name: end_session
SELECT pg_terminate_backend($1, 5000);

-- name: notify
SELECT pg_notify($1, '');

-- name: read_clock
SELECT clock_timestamp();

-- name: keep_pushed
INSERT INTO sidecar.dead_letters (
    projection, stream, event_type, schema_version, event,
    error_type, error_message, traceback, trace_id, category, attempts, version, event_id
) VALUES ($1, $2, $3, $4, $5::text::json, $6, $7, $8, $9, $10, 1, 0, gen_random_uuid());

-- name: lock_due_pushed
-- The oldest due dead letter of the projections $1 whose stream has no older open one.
SELECT d.id, d.projection, d.stream, d.event_type, d.schema_version, d.event::text, d.attempts,
       uuid_send(d.event_id) AS raw_event_id,
       date_part('epoch', d.first_failed_at) AS first_failed_unix
FROM sidecar.dead_letters d
WHERE d.projection = ANY($1) AND d.resolution IS NULL AND d.position IS NULL
  AND d.event IS NOT NULL AND d.retry_at <= clock_timestamp()
  AND NOT EXISTS (
      SELECT FROM sidecar.dead_letters o
      WHERE o.projection = d.projection AND o.stream = d.stream AND o.resolution IS NULL
        AND o.position IS NULL AND o.id < d.id
  )
ORDER BY d.id LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: fail_pushed
UPDATE sidecar.dead_letters
SET error_type = $2, error_message = $3, traceback = $4, attempts = $5, category = $6,
    last_failed_at = clock_timestamp(), retry_at = NULL
WHERE id = $1;

-- name: hold_pushed_behind
-- Those behind a dead letter that failed again are not due any more.
UPDATE sidecar.dead_letters SET retry_at = NULL
WHERE projection = $1 AND stream = $2 AND resolution IS NULL AND position IS NULL AND id > $3;

-- name: list_dead_letters
-- $1 projection, $2 stream, $3 error type, $4 minimal age in seconds, each null for any; $5 only
-- open ones.
SELECT d.id, d.projection, d.stream, d.position, d.version, d.event_type, d.category, d.error_type,
       d.attempts, d.first_failed_at, d.last_failed_at, d.retry_at, d.resolution, d.reason,
       d.resolved_at
FROM sidecar.dead_letters d
WHERE ($1::text IS NULL OR d.projection = $1)
  AND ($2::text IS NULL OR d.stream = $2)
  AND ($3::text IS NULL OR d.error_type = $3)
  AND ($4::float8 IS NULL
       OR d.first_failed_at <= clock_timestamp() - make_interval(secs => $4::float8))
  AND (NOT $5::boolean OR d.resolution IS NULL)
  AND d.category <> 'retry'
ORDER BY d.first_failed_at, d.id
LIMIT $6;

-- name: show_dead_letter
SELECT d.id, d.projection, d.stream, d.position, d.version, d.event_id, d.event_type, d.category,
       d.error_type, CASE WHEN g.is_erased THEN '' ELSE d.error_message END AS error_message,
       CASE WHEN g.is_erased THEN '' ELSE d.traceback END AS traceback, g.is_erased,
       d.attempts, d.trace_id, d.first_failed_at,
       d.last_failed_at, d.retry_at, d.resolution, d.reason, d.resolved_at,
       coalesce(e.data, d.event)::text AS data, e.metadata::text,
       (
           SELECT count(*) FROM sidecar.events q
           WHERE d.resolution IS NULL AND d.position IS NOT NULL
             AND q.stream = d.stream AND q.version > d.version
       ) AS queued
FROM sidecar.dead_letters d
LEFT JOIN sidecar.events e ON e.position = d.position
CROSS JOIN LATERAL (
    SELECT d.position IS NOT NULL AND e.position IS NULL AS is_erased
) AS g
WHERE d.id = $1;

-- name: lock_letter
SELECT d.id, d.projection, d.stream, d.position, d.version, d.resolution
FROM sidecar.dead_letters d WHERE d.id = $1 FOR UPDATE;

-- name: lock_checkpoint_of_stream
SELECT position FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live'
  AND partition = (hashtext($2) & 2147483647) % partitions
FOR UPDATE;

-- name: lock_rebuild_of_stream
SELECT position FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'rebuild'
  AND partition = (hashtext($2) & 2147483647) % partitions
FOR UPDATE;

-- name: count_discarded
SELECT count(*) FROM sidecar.discards WHERE projection = $1;

-- name: read_next_queued
SELECT position, version, id::text, type FROM sidecar.events
WHERE stream = $1 AND version > $2 AND position <= $3
ORDER BY version LIMIT 1;

-- name: queue_behind_discarded
INSERT INTO sidecar.dead_letters (
    projection, stream, position, version, event_id, event_type,
    category, error_type, error_message, traceback, attempts, retry_at
) VALUES (
    $1, $2, $3, $4, $5::text::uuid, $6, 'queued', 'Queued', 'waited behind a discarded event', '', 0,
    clock_timestamp()
);

-- name: count_letters
-- Of the dead letters $1: open, and open that are not due.
SELECT count(*) FILTER (WHERE resolution IS NULL) AS open,
       count(*) FILTER (
           WHERE resolution IS NULL AND (retry_at IS NULL OR retry_at > clock_timestamp())
       ) AS failed
FROM sidecar.dead_letters WHERE id = ANY($1::bigint[]);

-- name: list_logged_letters
SELECT id FROM sidecar.dead_letters WHERE id = ANY($1::bigint[]) AND position IS NOT NULL
ORDER BY id;

-- name: list_projections_of_letters
-- Of those that are due.
SELECT DISTINCT d.projection, c.partition, c.partitions, c.state
FROM sidecar.dead_letters d
JOIN sidecar.checkpoints c ON c.projection = d.projection AND c.copy = 'live'
WHERE d.id = ANY($1::bigint[]) AND d.resolution IS NULL AND d.retry_at <= clock_timestamp()
ORDER BY d.projection;

-- name: read_live_rows
SELECT partition, partitions, kind, tables, position FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live' ORDER BY partition FOR UPDATE;

-- name: read_rebuild_rows
SELECT partition, position, state, detail FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'rebuild' ORDER BY partition FOR UPDATE;

-- name: has_rebuild
-- Of the tables declared now: a copy of others could not be swapped in.
SELECT EXISTS (
    SELECT FROM sidecar.checkpoints r JOIN sidecar.checkpoints l USING (projection, partition)
    WHERE r.projection = $1 AND r.copy = 'rebuild' AND l.copy = 'live' AND l.tables = r.tables
);

-- name: may_swap
-- Without locks: whether the new copy was compared with the live one, with nothing left to approve,
-- and no part of it lags more than $2 positions behind the live copy or, where that one never ran,
-- behind its own other parts.
SELECT EXISTS (
           SELECT FROM sidecar.previews
           WHERE projection = $1 AND report IS NOT NULL AND (is_approved OR NOT needs_approval)
       ) AND coalesce(
           bool_and(
               n.state = 'running'
               AND greatest(
                   l.position,
                   (
                       SELECT max(position) FROM sidecar.checkpoints
                       WHERE projection = $1 AND copy = 'rebuild'
                   )
               ) - n.position <= $2::bigint
           ),
           false
       )
FROM sidecar.checkpoints n
JOIN sidecar.checkpoints l USING (projection, partition)
WHERE n.projection = $1 AND n.copy = 'rebuild' AND l.copy = 'live';

-- name: list_runnable
-- A paused live row has a loop as well, which waits; a failed rebuild has none. One loop verifies
-- all partitions.
SELECT projection, partition, partitions, copy FROM sidecar.checkpoints
WHERE copy = 'live' OR state = 'running'
UNION ALL
SELECT c.projection, 0, c.partitions, 'verify' FROM sidecar.checkpoints c
JOIN sidecar.verifications v USING (projection)
WHERE v.state = 'running' AND c.copy = 'live' AND c.partition = 0;

-- name: create_rebuild
-- It starts where the live copy did.
INSERT INTO sidecar.checkpoints (
    projection, copy, partition, partitions, kind, tables, position, start_position
)
SELECT projection, 'rebuild', partition, partitions, kind, tables, start_position, start_position
FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live';

-- name: start_copy_at
UPDATE sidecar.checkpoints SET position = $3, start_position = $3
WHERE projection = $1 AND copy = $2;

-- name: resume_rebuild
UPDATE sidecar.checkpoints SET state = 'running', detail = NULL
WHERE projection = $1 AND copy = 'rebuild' AND state <> 'running';

-- name: list_stray_writes
-- Tables that this transaction has written, outside of schema $1, our own and its temporary one.
SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
  AND l.mode IN (
      'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
  )
  AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ($1, 'sidecar', 'pg_catalog')
ORDER BY name;

-- name: halt_rebuild
UPDATE sidecar.checkpoints SET state = 'failed', detail = $2
WHERE projection = $1 AND copy = 'rebuild';

-- name: delete_checkpoints
DELETE FROM sidecar.checkpoints WHERE projection = $1 RETURNING partition;

-- name: delete_rebuild
DELETE FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'rebuild';

-- name: take_over_positions
-- This unblocks a blocked live copy; a paused one stays paused.
UPDATE sidecar.checkpoints live
SET position = r.position, moved_at = clock_timestamp(),
    state = CASE
        WHEN live.block IS NULL OR live.state = 'paused' THEN live.state ELSE 'running'
    END,
    detail = CASE WHEN live.block IS NULL THEN live.detail END, block = NULL,
    handles = r.handles, start_position = r.start_position
FROM sidecar.checkpoints r
WHERE live.projection = $1 AND live.copy = 'live'
  AND r.projection = $1 AND r.copy = 'rebuild' AND r.partition = live.partition;

-- name: resolve_rebuilt_letters
-- Their events are applied when the log is applied anew, for the reason $2; events that were only
-- published in process are not in the log. An event that waited for a retry was no dead letter.
WITH forgotten AS (
    DELETE FROM sidecar.dead_letters
    WHERE projection = $1 AND resolution IS NULL AND category = 'retry' AND position IS NOT NULL
      AND set_config('event_sidecar.forgets', projection, true) = projection
)
UPDATE sidecar.dead_letters
SET resolution = 'retried', reason = $2, resolved_at = clock_timestamp(),
    retry_at = NULL
WHERE projection = $1 AND resolution IS NULL AND category <> 'retry' AND position IS NOT NULL;

-- name: close_letters_above
-- A loop that begins at position $2 applies their events again; a stream that was parked before it
-- would be left out up to the position of its dead letter.
WITH forgotten AS (
    DELETE FROM sidecar.dead_letters
    WHERE projection = $1 AND resolution IS NULL AND category = 'retry' AND position > $2
      AND set_config('event_sidecar.forgets', projection, true) = projection
)
UPDATE sidecar.dead_letters
SET resolution = 'retried', reason = 'met again by a loop that began at an earlier position',
    resolved_at = clock_timestamp(), retry_at = NULL
WHERE projection = $1 AND resolution IS NULL AND category <> 'retry' AND position > $2;

-- name: replay_handler
UPDATE sidecar.checkpoints
SET position = start_position, moved_at = NULL,
    state = CASE WHEN block IS NULL OR state = 'paused' THEN state ELSE 'running' END,
    detail = CASE WHEN block IS NULL THEN detail END, block = NULL
WHERE projection = $1 AND copy = 'live' AND kind = 'handler'
RETURNING partition;

-- name: find_table
-- The place of a read model's table, and what keeps it from being copied.
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind = 'r' AS is_plain,
       c.relrowsecurity AS has_policies,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
           AS has_triggers,
       EXISTS (
           SELECT FROM pg_constraint k
           WHERE k.contype = 'f' AND (k.conrelid = c.oid OR k.confrelid = c.oid)
       ) AS has_foreign_keys,
       EXISTS (
           SELECT FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
           WHERE d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass AND w.ev_class <> c.oid
       ) AS has_views
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1);

-- name: list_grants
SELECT format(
           'GRANT %s ON TABLE %I.%I TO %s%s', a.privilege_type, $2::text, c.relname,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
           CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
       ) AS statement
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = to_regclass($1);

-- name: list_sequences
-- With LIKE a copy's `serial` column uses the old table's sequence, which is dropped with the old
-- table; these statements give the copy in schema $2 sequences of its own.
SELECT unnest(ARRAY[
           format(
               'CREATE SEQUENCE %I.%I AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s '
               '%s OWNED BY %I.%I.%I',
               $2::text, s.relname, q.seqtypid::regtype, q.seqincrement, q.seqmin, q.seqmax,
               q.seqstart, q.seqcache, CASE WHEN q.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END,
               $2, c.relname, a.attname
           ),
           format(
               'ALTER TABLE %I.%I ALTER %I SET DEFAULT nextval(%L::regclass)',
               $2, c.relname, a.attname, format('%I.%I', $2, s.relname)
           )
       ]) AS statement
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
JOIN pg_depend owned ON owned.classid = 'pg_class'::regclass AND owned.deptype = 'a'
     AND owned.refobjid = c.oid AND owned.refobjsubid = a.attnum
JOIN pg_depend used ON used.classid = 'pg_attrdef'::regclass AND used.objid = d.oid
     AND used.refobjid = owned.objid
JOIN pg_class s ON s.oid = owned.objid AND s.relkind = 'S'
JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE c.oid = to_regclass($1);

-- name: list_index_names
-- LIKE gives indexes and their constraints new names; these statements give those of copy $2 in
-- schema $3 the names that `ON CONFLICT ON CONSTRAINT` and `CREATE INDEX IF NOT EXISTS` need. In
-- two steps, since the old name of one may be the new name of another.
WITH indexes AS (
    SELECT i.indrelid, c.oid, c.relname, i.definition,
           row_number() OVER (PARTITION BY i.indrelid, i.definition ORDER BY c.oid) AS number
    FROM (
        SELECT indrelid, indexrelid,
               (indisunique, indisprimary, substring(pg_get_indexdef(indexrelid), ' USING .*'))::text
                   AS definition
        FROM pg_index WHERE indrelid IN (to_regclass($1), to_regclass($2))
    ) AS i JOIN pg_class c ON c.oid = i.indexrelid
), pairs AS (
    SELECT fresh.relname AS name, 'sidecar_' || fresh.oid AS between, old.relname AS wanted
    FROM indexes old JOIN indexes fresh USING (definition, number)
    WHERE old.indrelid = to_regclass($1) AND fresh.indrelid = to_regclass($2)
)
SELECT format('ALTER INDEX %I.%I RENAME TO %I', $3::text, name, between) AS statement, 1 AS step
FROM pairs
UNION ALL
SELECT format('ALTER INDEX %I.%I RENAME TO %I', $3, between, wanted), 2 FROM pairs
ORDER BY step;

-- name: has_schema
SELECT to_regnamespace(quote_ident($1)) IS NOT NULL;

-- name: prepend_search_path
SELECT set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true);
