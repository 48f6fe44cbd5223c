-- Appending to the log, reading pages of it, and what proves how far it is safe.

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

-- name: notify
SELECT pg_notify($1, '');
