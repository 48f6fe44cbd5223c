-- Statements by name that several subjects run; each folder has those of its own. Parameters are
-- described where their order is not plain from the text. The log is always read in one statement,
-- in one snapshot. Statements also run in sessions of the service, which may have codecs of its own.
-- These are passed by where that is possible, except within arrays: so json, uuid, timestamptz, and
-- what an array of the service may hold otherwise, are passed as text and cast here.

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

-- name: read_stream
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events
WHERE stream = $1 AND version > $2
ORDER BY version
LIMIT $3;

-- name: read_log
SELECT position, stream, version, uuid_send(id), type, schema_version, data::text,
       metadata::text, date_part('epoch', recorded_at)
FROM sidecar.events
WHERE position > $1 AND position <= $2
ORDER BY position
LIMIT $3;

-- name: keep_acceptance
INSERT INTO sidecar.acceptances (projection, what, reason) VALUES ($1, $2, $3);

-- name: read_checkpoint
-- Here and in the next two the number of partitions is part of the key: a loop with another number
-- reads other streams, and must not move the row past streams that it does not read.
SELECT position, state, block, members,
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
       handles, members,
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

-- name: end_failure
-- One that waits for a person's decision goes on waiting.
UPDATE sidecar.checkpoints SET state = 'running', detail = NULL, block = NULL
WHERE projection = $1 AND copy = 'live' AND state = 'failed'
  AND (block IS NULL OR block = 'shared_table');

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

-- name: resolve_letter
UPDATE sidecar.dead_letters
SET resolution = $2, reason = $3, resolved_at = clock_timestamp(), retry_at = NULL
WHERE id = $1;

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

-- name: settle_deleted_letters
UPDATE sidecar.deleted_dead_letters SET is_settled = true
WHERE projection = $1 AND NOT is_settled
RETURNING events;

-- name: sample_activity
SELECT coalesce(application_name, '') AS application_name, coalesce(state, '') AS state,
       count(*) AS sessions
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
GROUP BY 1, 2;

-- name: end_session
SELECT pg_terminate_backend($1, 5000);

-- name: count_discarded
SELECT count(*) FROM sidecar.discards WHERE projection = $1;

-- name: has_rebuild
-- Of the tables declared now: a copy of others could not be swapped in.
SELECT EXISTS (
    SELECT FROM sidecar.checkpoints r JOIN sidecar.checkpoints l USING (projection, partition)
    WHERE r.projection = $1 AND r.copy = 'rebuild' AND l.copy = 'live' AND l.tables = r.tables
);

-- name: list_runnable
-- A paused live row has a loop as well, which waits; a failed rebuild has none. One loop verifies
-- all partitions.
SELECT projection, partition, partitions, copy FROM sidecar.checkpoints
WHERE copy = 'live' OR state = 'running'
UNION ALL
SELECT c.projection, 0, c.partitions, 'verify' FROM sidecar.checkpoints c
JOIN sidecar.verifications v USING (projection)
WHERE v.state = 'running' AND c.copy = 'live' AND c.partition = 0;

-- name: halt_rebuild
UPDATE sidecar.checkpoints SET state = 'failed', detail = $2
WHERE projection = $1 AND copy = 'rebuild';

-- name: delete_rebuild
DELETE FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'rebuild';

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
       ) AS has_views,
       EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid) AS has_rules,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AS is_child
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1);

-- name: has_schema
SELECT to_regnamespace(quote_ident($1)) IS NOT NULL;

-- name: prepend_search_path
SELECT set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true);
