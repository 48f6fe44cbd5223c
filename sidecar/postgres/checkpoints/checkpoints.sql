-- Checkpoints: what each projection has applied, what it passed over, and what blocks it.

-- name: lock_setups
-- Held until the session ends, by the worker whose setup runs. Migrations need not wait for it.
SELECT pg_advisory_lock(7236173, 1);

-- name: lock_setup
-- Two workers that start together must not create the same table; this waits without limit.
SELECT pg_advisory_xact_lock(7236176, hashtext($1));

-- name: lock_registrations
SELECT pg_advisory_xact_lock(7236173, 2);

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

-- name: has_events
SELECT EXISTS (SELECT FROM sidecar.events);

-- name: list_partitions
SELECT partition, partitions, position, state, detail, block, service, start_position, members
FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live' ORDER BY partition FOR UPDATE;

-- name: delete_partitions
DELETE FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live';

-- name: create_checkpoint
INSERT INTO sidecar.checkpoints (
    projection, partition, partitions, kind, tables, service, position, state, detail, block,
    start_position, members
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: find_position_before
-- The last one before the first event that was recorded at $1, in seconds since 1970, or later.
SELECT min(position) - 1 FROM sidecar.events WHERE recorded_at >= to_timestamp($1::float8);

-- name: declare
-- The tables $2 and the kind $3 of projection $1: a release may make a handler a projection.
UPDATE sidecar.checkpoints SET tables = $2, kind = $3
WHERE projection = $1 AND copy = 'live' AND (tables, kind) IS DISTINCT FROM ($2, $3);

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
    members = '{*}', start_position = CASE WHEN block = 'ahead' THEN $2 ELSE start_position END
WHERE projection = $1 AND copy = 'live' AND block IN ('filled', 'gone', 'ahead', 'lost', 'renamed')
RETURNING partition;

-- name: move_checkpoint
-- Compare and set: $5 is the position that the owner expects, $7 the transaction that it began.
UPDATE sidecar.checkpoints SET position = $6, moved_at = clock_timestamp()
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4 AND position = $5
  AND pg_current_xact_id()::text = $7;

-- name: read_transaction
SELECT pg_current_xact_id()::text;

-- name: has_handled_ranges
SELECT EXISTS (SELECT FROM sidecar.handled_ranges WHERE projection = $1);

-- name: open_counts
-- For the projections $1, with $2 and $3 as pairs of name and handled type: each type that any
-- release of one handles, also one that has only begun, in each part of the log whose release did not
-- handle it. A retired type does not count, except for a release that runs and handles it, nor does
-- what people accepted until a release handles the type again.
WITH wanted AS (
    SELECT projection, type FROM unnest($2::text[], $3::text[]) AS h (projection, type)
    UNION
    SELECT k.projection, k.type FROM (
        SELECT r.projection, unnest(r.types) AS type FROM sidecar.handled_ranges r
        WHERE r.projection = ANY($1) AND r.copy = 'live'
        UNION
        SELECT projection, type FROM sidecar.declarations WHERE projection = ANY($1)
    ) AS k
    WHERE NOT EXISTS (
        SELECT FROM sidecar.passed_over p JOIN sidecar.handled_ranges o ON o.id = p.range_id
        WHERE o.projection = k.projection AND p.type = k.type AND p.is_accepted
    )
), retired AS (
    SELECT projection, type FROM sidecar.declarations
    WHERE projection = ANY($1) AND retired_at IS NOT NULL
    EXCEPT SELECT projection, type FROM unnest($2::text[], $3::text[]) AS h (projection, type)
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

-- name: is_uncounted
-- Whether a release moved projection $1 over one of the events of stream $2, at positions $3 and of
-- types $4, without handling it, and what it passed over is not counted up to there.
SELECT EXISTS (
    SELECT FROM unnest($3::text[], $4::text[]) AS e (position, type)
    JOIN sidecar.handled_ranges r
        ON r.projection = $1 AND r.copy = 'live' AND NOT r.types && ARRAY['*', e.type]
        AND r.from_position < e.position::bigint
        AND coalesce(r.upto_position, e.position::bigint) >= e.position::bigint
        AND r.partition = (hashtext($2) & 2147483647) % r.partitions
    WHERE NOT EXISTS (
        SELECT FROM sidecar.passed_over p
        WHERE p.range_id = r.id AND p.type = e.type AND p.counted_upto >= e.position::bigint
    )
);

-- name: count_passed_over
-- For the projections $1, from the last counted position, over at most $2 positions; those come
-- back of which more is left than that. What waits for a retry is taken up with its stream.
WITH due AS (
    SELECT r.projection, p.range_id, p.type, p.counted_upto,
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
        AND NOT EXISTS (
            SELECT FROM sidecar.dead_letters l
            WHERE l.projection = d.projection AND l.stream = e.stream AND l.resolution IS NULL
              AND l.position <= e.position
        )
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
-- With a block of kind $3, if any; one that waits for another decision still does. A paused
-- projection stays paused.
UPDATE sidecar.checkpoints
SET state = 'failed', detail = $2,
    block = CASE WHEN block IS NULL OR block = 'shared_table' THEN $3 ELSE block END
WHERE projection = $1 AND copy = 'live' AND state <> 'paused';

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

-- name: lock_due_letter
-- The one that has been due longest among the streams of partition $2 of $3, with $4 as the types
-- that are handled.
SELECT id, stream, position, version, attempts, category = 'retry', error_type
FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND retry_at <= clock_timestamp()
  AND position IS NOT NULL
  AND (hashtext(stream) & 2147483647) % $3::integer = $2::integer
  AND (category <> 'unknown-type' OR event_type = ANY($4::text[]) OR '*' = ANY($4::text[]))
ORDER BY retry_at, position
LIMIT 1
FOR UPDATE;

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

-- name: list_recent_versions
-- Newest schema version by type among the last $1 positions.
SELECT type, max(schema_version) AS schema_version FROM sidecar.events
WHERE position > (SELECT coalesce(max(position), 0) FROM sidecar.events) - $1::bigint
GROUP BY type;

-- name: delete_checkpoints
DELETE FROM sidecar.checkpoints WHERE projection = $1 RETURNING partition;

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
