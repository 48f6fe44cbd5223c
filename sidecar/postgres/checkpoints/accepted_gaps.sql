-- Statements on events that a projection passed over and does without.

-- name: keep_accepted_gaps
INSERT INTO sidecar.accepted_gaps AS g
    (projection, type, partition, partitions, first_position, last_position)
SELECT r.projection, p.type, r.partition, r.partitions, p.first_position, max(p.last_position)
FROM sidecar.passed_over p JOIN sidecar.handled_ranges r ON r.id = p.range_id
WHERE r.projection = $1 AND r.copy = 'live' AND p.is_accepted AND p.events > 0
GROUP BY r.projection, p.type, r.partition, r.partitions, p.first_position
ON CONFLICT (projection, type, partition, partitions, first_position)
DO UPDATE SET last_position = greatest(g.last_position, excluded.last_position);

-- name: list_accepted_positions
-- Of projection $1 above position $2.
SELECT e.position
FROM sidecar.accepted_gaps g
JOIN sidecar.events e
    ON e.position BETWEEN greatest(g.first_position, $2::bigint + 1) AND g.last_position
    AND e.type = g.type AND (hashtext(e.stream) & 2147483647) % g.partitions = g.partition
WHERE g.projection = $1;

-- name: forget_accepted_gaps
DELETE FROM sidecar.accepted_gaps WHERE projection = $1;
