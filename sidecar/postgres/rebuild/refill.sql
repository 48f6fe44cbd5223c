-- Statements of a rebuild in place.

-- name: list_referrers
-- Foreign keys of other tables that refer to one of those with oids $1.
SELECT format('%I.%I', n.nspname, c.relname) AS place, k.conname AS name, k.confdeltype::text AS action,
       k.confrelid::regclass::text AS target,
       (
           SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
           FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
       ) AS columns
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = ANY($1::oid[]) AND k.conrelid <> ALL($1::oid[])
ORDER BY place, name;

-- name: set_back_to_refill
-- It is incomplete up to where the log goes now. A blocked copy runs; a paused one stays paused.
UPDATE sidecar.checkpoints
SET position = start_position,
    refilled_upto = greatest(
        start_position, (SELECT coalesce(max(position), 0) FROM sidecar.events)
    ),
    state = CASE WHEN block IS NULL THEN state ELSE 'running' END,
    detail = CASE WHEN block IS NULL THEN detail END, block = NULL
WHERE projection = $1 AND copy = 'live';
