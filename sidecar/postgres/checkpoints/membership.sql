-- Statements about the members of groups.

-- name: lock_membership
SELECT position, start_position, handles, members, block FROM sidecar.checkpoints
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4
FOR UPDATE;

-- name: list_members
SELECT members FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live';

-- name: has_events_of
-- Above position $1, up to $2, of types $3 or null for all.
SELECT EXISTS (
    SELECT FROM sidecar.events
    WHERE position > $1 AND position <= $2 AND ($3::text[] IS NULL OR type = ANY($3::text[]))
);

-- name: set_members
UPDATE sidecar.checkpoints SET members = $5
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4;

-- name: block_joined
-- A paused projection stays paused.
UPDATE sidecar.checkpoints
SET block = 'joined', detail = $5, state = CASE state WHEN 'paused' THEN 'paused' ELSE 'failed' END
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4 AND block IS NULL;

-- name: unblock_joined
UPDATE sidecar.checkpoints
SET block = NULL, detail = NULL, state = CASE state WHEN 'paused' THEN 'paused' ELSE 'running' END
WHERE projection = $1 AND copy = $2 AND partition = $3 AND partitions = $4 AND block = 'joined';

-- name: accept_joined
-- Whoever goes on does so with the tables as they are.
UPDATE sidecar.checkpoints
SET block = NULL, detail = NULL, members = '{*}',
    state = CASE state WHEN 'paused' THEN 'paused' ELSE 'running' END
WHERE projection = $1 AND copy = 'live' AND block = 'joined'
RETURNING partition;

-- name: find_group
-- Of which projection $1 is a member, if it is none itself.
SELECT projection FROM sidecar.checkpoints
WHERE copy = 'live' AND projection <> $1 AND $1 = ANY(members)
ORDER BY projection LIMIT 1;
