-- What the log is, compared with what is remembered of it: at each connect, and now and then.

-- name: has_log
SELECT to_regclass('sidecar.events') IS NOT NULL;

-- name: read_database_name
SELECT current_database()::text;

-- name: read_server_key
-- Of the server process and of the table, as `lock_checkpoint` returns it.
SELECT extract(epoch FROM pg_postmaster_start_time())::text || ' ' || 'sidecar.events'::regclass::oid;

-- name: read_log_identity
-- The timeline of the last checkpoint is older than that of the position, after a promotion.
SELECT (SELECT system_identifier FROM pg_control_system()) || ' '
           || (SELECT oid FROM pg_database WHERE datname = current_database()) AS place,
       'sidecar.events'::regclass::oid::text AS table,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint AS timeline,
       (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS lsn
WHERE NOT pg_is_in_recovery();

-- name: look_up_log
-- The events at positions $1, and what else tells of a log whose end is gone. A sequence that was
-- set back below what is passed is told by itself.
SELECT ARRAY(
           SELECT e.position FROM sidecar.events e WHERE e.position = ANY($1::bigint[])
           ORDER BY e.position
       ) AS positions,
       ARRAY(
           SELECT uuid_send(e.id) FROM sidecar.events e WHERE e.position = ANY($1::bigint[])
           ORDER BY e.position
       ) AS ids,
       NOT EXISTS (SELECT FROM sidecar.events) AS is_empty,
       pg_is_in_recovery() AS is_standby,
       s.last_value AS drawn,
       coalesce(s.last_value < (SELECT max(position) FROM sidecar.checkpoints), false) AS is_set_back
FROM (VALUES (1)) AS one
LEFT JOIN pg_sequences s
    ON format('%I.%I', s.schemaname, s.sequencename)
       = pg_get_serial_sequence('sidecar.events', 'position');

-- name: read_log_tail
-- The last $3 events above position $1, up to $2.
SELECT position, uuid_send(id) AS id FROM sidecar.events
WHERE position > $1 AND position <= $2
ORDER BY position DESC LIMIT $3;

-- name: read_log_anchors
-- A few events further back than position $1, ever sparser.
SELECT a.position, uuid_send(a.id) AS id
FROM generate_series(0, 40) AS n
CROSS JOIN LATERAL (
    SELECT e.position, e.id FROM sidecar.events e
    WHERE e.position <= $1::bigint - (1::bigint << n) ORDER BY e.position DESC LIMIT 1
) AS a
UNION
(SELECT position, uuid_send(id) FROM sidecar.events WHERE position < $1 ORDER BY position LIMIT 1);

-- name: has_log_memory
SELECT to_regclass('sidecar.log_losses') IS NOT NULL;

-- name: read_log_memory
SELECT memory::text FROM sidecar.log_memory;

-- name: keep_log_memory
INSERT INTO sidecar.log_memory (position, memory) VALUES ($1, $2::text::json)
ON CONFLICT (only_one) DO UPDATE SET position = excluded.position, memory = excluded.memory
WHERE sidecar.log_memory.position IS DISTINCT FROM excluded.position;

-- name: keep_log_loss
-- Returns whether it was not known yet. Who remembers more of it makes it larger.
INSERT INTO sidecar.log_losses AS l
    (first_position, first_event, last_position, common_position, events, is_exact)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (first_position, first_event) DO UPDATE
SET last_position = greatest(l.last_position, excluded.last_position),
    events = greatest(l.events, excluded.events)
RETURNING l.xmax = 0 AS is_new;

-- name: list_running_handlers
SELECT projection, min(position) AS position FROM sidecar.checkpoints
WHERE kind = 'handler' AND copy = 'live' AND block IS NULL
GROUP BY projection ORDER BY projection;

-- name: sample_log_losses
SELECT l.first_position, l.first_event, l.last_position, l.common_position, l.events, l.is_exact,
       r.span AS reused
FROM sidecar.log_losses l
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) > 0 THEN ARRAY[min(e.position), max(e.position)] END AS span
    FROM sidecar.events e
    WHERE e.position BETWEEN l.first_position AND l.last_position
) AS r
WHERE l.settled_at IS NULL ORDER BY l.id;

-- name: settle_log_losses
-- The one of mark $1, or all when that is null.
UPDATE sidecar.log_losses SET settled_at = clock_timestamp(), reason = $2
WHERE settled_at IS NULL AND ($1::text IS NULL OR first_event = $1::text)
RETURNING first_position, last_position, events;

-- name: hold_handler
UPDATE sidecar.checkpoints
SET state = CASE WHEN state = 'paused' THEN state ELSE 'failed' END, detail = $2, block = 'lost'
WHERE projection = $1 AND copy = 'live' AND block IS NULL;

-- name: release_handlers
-- Of name $1, or all; one that was paused stays so.
UPDATE sidecar.checkpoints
SET state = CASE WHEN state = 'paused' THEN state ELSE 'running' END, detail = NULL, block = NULL
WHERE copy = 'live' AND block = 'lost' AND ($1::text IS NULL OR projection = $1::text)
RETURNING projection;

-- name: is_held
-- Whether handler $1 waits for a decision about a lost end; with null, whether any does.
SELECT EXISTS (
    SELECT FROM sidecar.checkpoints
    WHERE copy = 'live' AND block = 'lost' AND ($1::text IS NULL OR projection = $1::text)
);

-- name: has_open_loss
SELECT EXISTS (SELECT FROM sidecar.log_losses WHERE settled_at IS NULL);

-- name: is_log_accepted
SELECT EXISTS (SELECT FROM sidecar.acceptances WHERE projection = '' AND what = $1);
