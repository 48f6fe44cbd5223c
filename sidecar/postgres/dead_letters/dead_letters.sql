-- Dead letters as they are kept, and as people handle them.

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
