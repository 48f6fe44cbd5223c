-- Rebuilds: begun, caught up and swapped in.

-- name: take_over_handled_ranges
UPDATE sidecar.handled_ranges SET copy = 'live' WHERE projection = $1 AND copy = 'rebuild';

-- name: read_live_rows
SELECT partition, partitions, kind, tables, position FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live' ORDER BY partition FOR UPDATE;

-- name: read_rebuild_rows
SELECT partition, position, state, detail FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'rebuild' ORDER BY partition FOR UPDATE;

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

-- name: take_over_positions
-- This unblocks a blocked live copy; a paused one stays paused.
UPDATE sidecar.checkpoints live
SET position = r.position, moved_at = clock_timestamp(),
    state = CASE
        WHEN live.block IS NULL OR live.state = 'paused' THEN live.state ELSE 'running'
    END,
    detail = CASE WHEN live.block IS NULL THEN live.detail END, block = NULL,
    handles = r.handles, members = r.members, start_position = r.start_position
FROM sidecar.checkpoints r
WHERE live.projection = $1 AND live.copy = 'live'
  AND r.projection = $1 AND r.copy = 'rebuild' AND r.partition = live.partition;

-- name: replay_handler
UPDATE sidecar.checkpoints
SET position = start_position, moved_at = NULL,
    state = CASE WHEN block IS NULL OR state = 'paused' THEN state ELSE 'running' END,
    detail = CASE WHEN block IS NULL THEN detail END, block = NULL
WHERE projection = $1 AND copy = 'live' AND kind = 'handler'
RETURNING partition;
