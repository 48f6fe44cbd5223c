-- Statements of the look at what a swap changes, before it.

-- name: begin_preview
-- Of a rebuild that begins; $2 when a person has approved whatever it loses.
INSERT INTO sidecar.previews (projection, is_approved) VALUES ($1, $2)
ON CONFLICT (projection) DO UPDATE
SET is_approved = excluded.is_approved, report = NULL, needs_approval = false;

-- name: resume_preview
-- With $2 it is approved, and what was found still holds; without, it is found again.
INSERT INTO sidecar.previews AS p (projection, is_approved) VALUES ($1, $2)
ON CONFLICT (projection) DO UPDATE
SET is_approved = p.is_approved OR excluded.is_approved,
    report = CASE WHEN p.is_approved OR excluded.is_approved THEN p.report END;

-- name: forget_preview
DELETE FROM sidecar.previews WHERE projection = $1;

-- name: read_preview
SELECT report::text, needs_approval, is_approved FROM sidecar.previews WHERE projection = $1;

-- name: keep_preview
-- Of the rebuild that was created at $4, if it is still that one.
INSERT INTO sidecar.previews AS p (projection, report, needs_approval)
SELECT projection, $2::text::json, $3::boolean FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'rebuild' AND partition = 0 AND created_at::text = $4::text
ON CONFLICT (projection) DO UPDATE
SET report = excluded.report, needs_approval = excluded.needs_approval
RETURNING p.projection;

-- name: is_copy_held
-- Whether partition $2 of a new copy stays where it is, while both copies are compared and the live
-- one is less than $3 positions ahead.
SELECT n.state = 'running' AND l.position - n.position < $3::bigint AND NOT EXISTS (
    SELECT FROM sidecar.previews p WHERE p.projection = $1 AND p.report IS NOT NULL
)
FROM sidecar.checkpoints n JOIN sidecar.checkpoints l USING (projection, partition)
WHERE n.projection = $1 AND n.partition = $2 AND n.copy = 'rebuild' AND l.copy = 'live';

-- name: lock_copies
-- Both copies by partition, with the rows of the new one locked. It is ahead if it has applied what
-- the live copy is still to apply.
SELECT l.state = 'running' AS is_live, l.position - n.position AS lag, l.position AS live_position,
       n.created_at::text AS created_at,
       EXISTS (
           SELECT FROM sidecar.events e
           WHERE e.position > l.position AND e.position <= n.position
             AND (n.handles IS NULL OR n.handles && ARRAY['*', e.type])
             AND (n.partitions = 1 OR (hashtext(e.stream) & 2147483647) % n.partitions = n.partition)
       ) AS is_ahead
FROM sidecar.checkpoints n JOIN sidecar.checkpoints l USING (projection, partition)
WHERE n.projection = $1 AND n.copy = 'rebuild' AND l.copy = 'live'
ORDER BY partition FOR UPDATE OF n;

-- name: read_copy_tail
-- What the live copy has passed and the new one has not, above $2, the last position read so.
SELECT e.position, e.stream, e.version, uuid_send(e.id), e.type, e.schema_version, e.data::text,
       e.metadata::text, date_part('epoch', e.recorded_at)
FROM sidecar.checkpoints n JOIN sidecar.checkpoints l USING (projection, partition)
JOIN sidecar.events e
    ON e.position > greatest(n.position, $2::bigint) AND e.position <= l.position
    AND (n.partitions = 1 OR (hashtext(e.stream) & 2147483647) % n.partitions = n.partition)
WHERE n.projection = $1 AND n.copy = 'rebuild' AND l.copy = 'live' AND NOT EXISTS (
    SELECT FROM sidecar.dead_letters d
    WHERE d.projection = $1 AND d.resolution = 'discarded' AND d.position = e.position
) AND NOT EXISTS (
    SELECT FROM sidecar.accepted_gaps g
    WHERE g.projection = $1 AND g.type = e.type
      AND e.position BETWEEN g.first_position AND g.last_position
      AND (hashtext(e.stream) & 2147483647) % g.partitions = g.partition
)
ORDER BY e.position LIMIT $3;

-- name: list_column_types
-- Of the table with oid $1, in the order of their names.
SELECT array_agg(format('%s %s', attname, atttypid) ORDER BY attname) AS columns
FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped;

-- name: count_erased
-- Positions above $1, up to $2, that hold no event, and were not proved never to hold one.
SELECT $2::bigint - $1::bigint
    - (SELECT count(*) FROM sidecar.events WHERE position > $1 AND position <= $2)
    - coalesce((
        SELECT sum(least(last_position, $2) - greatest(first_position - 1, $1))
        FROM sidecar.skipped_positions WHERE first_position <= $2 AND last_position > $1
    ), 0)::bigint;

-- name: find_erased
-- Where those are. It reads all positions.
WITH gaps AS (
    SELECT before + 1 AS first, position - 1 AS last
    FROM (
        SELECT position, lag(position, 1, $1::bigint) OVER (ORDER BY position) AS before
        FROM sidecar.events WHERE position > $1 AND position <= $2
    ) AS numbered
    WHERE position - before > 1
    UNION ALL
    SELECT coalesce(max(position), $1::bigint) + 1, $2::bigint
    FROM sidecar.events WHERE position > $1 AND position <= $2
    HAVING coalesce(max(position), $1::bigint) < $2::bigint
)
SELECT sum(upper(r) - lower(r))::bigint AS positions, min(lower(r)) AS first, max(upper(r)) - 1 AS last
FROM unnest(
    coalesce((SELECT range_agg(int8range(first, last, '[]')) FROM gaps), '{}')
    - coalesce((
        SELECT range_agg(int8range(first_position, last_position, '[]'))
        FROM sidecar.skipped_positions
    ), '{}')
) AS r;

-- name: read_passed
-- From where up to where all of the live copy has come.
SELECT min(start_position) AS start, min(position) AS position FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live';
