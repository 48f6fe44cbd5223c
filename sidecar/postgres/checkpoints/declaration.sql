-- Statements about what releases declare of their projections, and about lost checkpoints.

-- name: declare_types
-- Pairs of projection and type, $1 and $2, by release $3. One that was retired is wanted again, for
-- a release that handles it runs; where nothing changes nothing is written.
INSERT INTO sidecar.declarations AS d (projection, type, release)
SELECT n.projection, n.type, $3
FROM unnest($1::text[], $2::text[]) AS n (projection, type)
LEFT JOIN sidecar.declarations o USING (projection, type)
WHERE o.type IS NULL OR o.retired_at IS NOT NULL
ORDER BY n.projection, n.type
ON CONFLICT (projection, type) DO UPDATE
SET release = excluded.release, declared_at = clock_timestamp(), retired_at = NULL,
    retired_reason = NULL
RETURNING projection;

-- name: declare_for_workers
-- Pairs of projection and type, $1 and $2, of projections that workers run; one that is retired
-- stays so, for only a worker's start says that it is handled.
INSERT INTO sidecar.declarations (projection, type, release)
SELECT p.projection, p.type, $3
FROM unnest($1::text[], $2::text[]) AS p (projection, type)
WHERE EXISTS (
    SELECT FROM sidecar.checkpoints c WHERE c.projection = p.projection AND c.copy = 'live'
)
ON CONFLICT (projection, type) DO NOTHING;

-- name: retire_types
-- Of the projections $1 the types $2, for the reason $3, whether they were declared or not.
INSERT INTO sidecar.declarations AS d (projection, type, retired_at, retired_reason)
SELECT n.projection, t.type, clock_timestamp(), $3
FROM unnest($1::text[]) AS n (projection), unnest($2::text[]) AS t (type)
WHERE NOT EXISTS (
    SELECT FROM sidecar.declarations o
    WHERE o.projection = n.projection AND o.type = t.type AND o.retired_at IS NOT NULL
)
ORDER BY n.projection, t.type
ON CONFLICT (projection, type) DO UPDATE
SET retired_at = excluded.retired_at, retired_reason = excluded.retired_reason
RETURNING projection;

-- name: pass_over
-- Of projection $1, in partition $2 of $3: events of the parked stream $4, at positions $5 and of types
-- $6, that a retry leaves out for its release does not handle them. Each is a part of the log of its
-- own where the release that moved the checkpoint had left it to the stream, and where it was not
-- counted for it waited. What a person retired, for another reason than $7, is wanted by nobody.
INSERT INTO sidecar.handled_ranges
    (projection, copy, partition, partitions, types, from_position, upto_position)
SELECT $1, 'live', $2, $3,
       ARRAY(
           SELECT type FROM sidecar.declarations o
           WHERE o.projection = $1 AND o.retired_at IS NULL AND o.type <> e.type
       ),
       e.position::bigint - 1, e.position::bigint
FROM unnest($5::text[], $6::text[]) AS e (position, type)
JOIN sidecar.declarations d
    ON d.projection = $1 AND d.type = e.type AND coalesce(d.retired_reason, $7) = $7
WHERE EXISTS (
    SELECT FROM sidecar.handled_ranges r
    LEFT JOIN sidecar.passed_over p ON p.range_id = r.id AND p.type = e.type
    WHERE r.projection = $1 AND r.copy = 'live'
      AND (r.types && ARRAY['*', e.type] OR p.counted_upto >= e.position::bigint)
      AND r.from_position < e.position::bigint
      AND coalesce(r.upto_position, e.position::bigint) >= e.position::bigint
      AND r.partition = (hashtext($4) & 2147483647) % r.partitions
);

-- name: list_declarations
SELECT type, retired_at IS NOT NULL AS is_retired FROM sidecar.declarations
WHERE projection = $1 ORDER BY type;

-- name: take_up_retired
-- Dead letters of the projections $1 that waited for a release with a type of $2: their streams go
-- on without it.
UPDATE sidecar.dead_letters SET category = 'queued', retry_at = clock_timestamp()
WHERE projection = ANY($1::text[]) AND resolution IS NULL AND position IS NOT NULL
  AND category = 'unknown-type' AND event_type = ANY($2::text[])
RETURNING event_type AS type, position;

-- name: take_up_known
-- Dead letters of partition $2 of $3 that waited for a release with a type of $4.
UPDATE sidecar.dead_letters SET retry_at = clock_timestamp()
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL
  AND category = 'unknown-type' AND retry_at IS NULL
  AND (event_type = ANY($4::text[]) OR '*' = ANY($4::text[]))
  AND (hashtext(stream) & 2147483647) % $3::integer = $2::integer;

-- name: count_unknown
SELECT count(*) FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL
  AND category = 'unknown-type';

-- name: forget_declared
DELETE FROM sidecar.declarations WHERE projection = $1;

-- name: lock_counts
-- What others count is counted before this goes on.
SELECT pg_advisory_xact_lock(7236173, 4);

-- name: open_counts_of_all
-- For the projections $1, which handle every type: each that occurs in a part of the log whose
-- release did not handle it.
INSERT INTO sidecar.passed_over (range_id, type, counted_upto)
SELECT DISTINCT r.id, e.type, r.from_position
FROM sidecar.handled_ranges r
JOIN sidecar.checkpoints c
    ON c.projection = r.projection AND c.copy = r.copy AND c.partition = r.partition
JOIN sidecar.events e
    ON e.position > r.from_position AND e.position <= coalesce(r.upto_position, c.position)
WHERE r.projection = ANY($1) AND r.copy = 'live' AND '*' <> ALL(r.types) AND e.type <> ALL(r.types)
ON CONFLICT (range_id, type) DO NOTHING;

-- name: list_missed
-- Pairs of projection and handled type, $1 and $2: what projections passed over and handle now.
-- What handlers did lies outside.
SELECT r.projection, cardinality(c.tables) > 0 AS has_tables, p.type,
       sum(p.events)::bigint AS events, min(p.first_position) AS first_position,
       max(p.last_position) AS last_position
FROM sidecar.passed_over p
JOIN sidecar.handled_ranges r ON r.id = p.range_id
JOIN sidecar.checkpoints c ON c.projection = r.projection AND c.copy = 'live' AND c.partition = 0
WHERE r.copy = 'live' AND p.events > 0 AND NOT p.is_accepted AND c.kind = 'projection'
  AND EXISTS (
      SELECT FROM unnest($1::text[], $2::text[]) AS h (projection, type)
      WHERE h.projection = r.projection AND h.type IN ('*', p.type)
  )
GROUP BY r.projection, c.tables, p.type ORDER BY r.projection, p.type;

-- name: block_missed
-- A paused projection stays paused.
UPDATE sidecar.checkpoints
SET block = 'passed_over', detail = $2,
    state = CASE state WHEN 'paused' THEN 'paused' ELSE 'failed' END
WHERE projection = $1 AND copy = 'live' AND (block IS NULL OR block = 'passed_over')
RETURNING partition;

-- name: unblock_missed
-- Those of $1 that miss nothing any more.
UPDATE sidecar.checkpoints c
SET block = NULL, detail = NULL, state = CASE state WHEN 'paused' THEN 'paused' ELSE 'running' END
WHERE c.projection = ANY($1) AND c.copy = 'live' AND c.block = 'passed_over'
  AND NOT EXISTS (
      SELECT FROM sidecar.passed_over p JOIN sidecar.handled_ranges r ON r.id = p.range_id
      WHERE r.projection = c.projection AND r.copy = 'live' AND p.events > 0 AND NOT p.is_accepted
  );

-- name: list_deleted
SELECT partition, partitions, position, deleted_at, deleted_by
FROM sidecar.deleted_checkpoints WHERE projection = $1 ORDER BY partition;

-- name: restore_checkpoints
-- Those of projection $1 that were deleted, whether anybody has noticed since or not.
INSERT INTO sidecar.checkpoints AS c
    (projection, partition, partitions, kind, tables, service, start_position, position, handles,
     members, moved_at, block, detail, state)
SELECT projection, partition, partitions, kind, tables, service, start_position, position, handles,
       members, moved_at, block,
       CASE WHEN block IS NOT NULL THEN detail END,
       CASE WHEN block IS NOT NULL OR state = 'paused' THEN state ELSE 'running' END
FROM sidecar.deleted_checkpoints d
WHERE d.projection = $1 AND d.partitions = coalesce(
    (SELECT max(partitions) FROM sidecar.checkpoints o WHERE o.projection = $1 AND o.copy = 'live'),
    d.partitions
)
ON CONFLICT (projection, copy, partition) DO UPDATE
SET position = excluded.position, start_position = excluded.start_position,
    handles = excluded.handles, members = excluded.members, moved_at = excluded.moved_at,
    block = excluded.block, detail = excluded.detail, state = excluded.state
WHERE c.block IN ('filled', 'gone')
RETURNING partition, position;

-- name: forget_deleted
DELETE FROM sidecar.deleted_checkpoints WHERE projection = $1;

-- name: has_acceptance
SELECT EXISTS (SELECT FROM sidecar.acceptances WHERE projection = $1 AND what = $2);

-- name: list_standing
-- A new handler begins at the safe head without having run.
SELECT partition, partitions, kind, position,
       moved_at IS NOT NULL OR kind = 'projection' AND position > 0 AS has_run
FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'
ORDER BY has_run DESC, partition FOR UPDATE;

-- name: list_forerunners
-- Of kind $2 and service $3, under other names than $1: what may have been renamed, for it has
-- handled events, or left some up to position $4.
SELECT c.projection, min(c.position) AS position,
       coalesce(
           max(c.handles),
           (
               SELECT array_agg(d.type) FROM sidecar.declarations d
               WHERE d.projection = c.projection AND d.retired_at IS NULL
           ),
           ARRAY['*']
       ) AS types,
       (
           SELECT count(*) FROM sidecar.dead_letters l
           WHERE l.projection = c.projection AND l.resolution IS NULL AND l.position IS NOT NULL
       ) AS letters
FROM sidecar.checkpoints c
WHERE c.copy = 'live' AND c.kind = $2 AND c.projection <> ALL($1::text[])
  AND (c.service = $3 OR c.service IS NULL OR $3::text IS NULL)
  AND c.block IS DISTINCT FROM 'renamed'
GROUP BY c.projection
HAVING max(c.moved_at) IS NOT NULL OR min(c.position) < $4
ORDER BY c.projection;

-- name: accept_new
-- One that was not renamed starts where it stands.
UPDATE sidecar.checkpoints
SET block = NULL, detail = NULL, state = CASE state WHEN 'paused' THEN 'paused' ELSE 'running' END
WHERE projection = $1 AND copy = 'live' AND block = 'renamed'
RETURNING position;

-- name: hand_over_checkpoints
-- Here and below from projection $2 to $1, which has not run.
UPDATE sidecar.checkpoints SET projection = $1 WHERE projection = $2 AND copy = 'live';

-- name: hand_over_letters
UPDATE sidecar.dead_letters SET projection = $1 WHERE projection = $2;

-- name: hand_over_discards
-- Also those whose dead letter is not kept any more.
WITH moved AS (DELETE FROM sidecar.discards WHERE projection = $2 RETURNING *)
INSERT INTO sidecar.discards (projection, position, stream, version, reason, discarded_at)
SELECT $1, position, stream, version, reason, discarded_at FROM moved
ON CONFLICT (projection, position) DO NOTHING;

-- name: hand_over_deletions
UPDATE sidecar.deleted_dead_letters SET projection = $1 WHERE projection = $2;

-- name: hand_over_ranges
UPDATE sidecar.handled_ranges SET projection = $1 WHERE projection = $2 AND copy = 'live';

-- name: hand_over_verifications
UPDATE sidecar.verifications SET projection = $1 WHERE projection = $2 AND state <> 'running';

-- name: hand_over_marks
UPDATE sidecar.table_marks SET projection = $1 WHERE projection = $2;

-- name: hand_over_gaps
UPDATE sidecar.accepted_gaps SET projection = $1 WHERE projection = $2;

-- name: hand_over_acceptances
UPDATE sidecar.acceptances SET projection = $1 WHERE projection = $2;

-- name: hand_over_declared
UPDATE sidecar.declarations SET projection = $1 WHERE projection = $2;

-- name: mark_code
-- Of the release that runs the projections $1 from here on: the fingerprints $2 of their code, and
-- version $3.
UPDATE sidecar.checkpoints c
SET release = $3, fingerprint = n.fingerprint,
    code_changed_at = CASE
        WHEN c.fingerprint <> n.fingerprint THEN clock_timestamp() ELSE c.code_changed_at
    END
FROM unnest($1::text[], $2::text[]) AS n (projection, fingerprint)
WHERE c.projection = n.projection AND c.copy = 'live'
  AND (c.release, c.fingerprint) IS DISTINCT FROM ($3::text, n.fingerprint);
