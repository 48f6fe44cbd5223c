-- Looks at the database and its server. They run every second, so none may scan the log.

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

-- name: sample_projections
-- Lag in one snapshot against safe head $1. The age is that of the oldest event not yet applied.
SELECT c.projection, c.copy, c.partition, c.partitions, c.kind, c.position, c.state, c.detail,
       c.moved_at, c.created_at, c.block, c.release, c.code_changed_at, c.refilled_upto, c.members,
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

-- name: read_clock
SELECT clock_timestamp();
