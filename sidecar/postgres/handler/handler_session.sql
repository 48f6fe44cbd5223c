-- What a handler leaves in its session, read before and undone after it.

-- name: read_settings
SELECT (SELECT jsonb_object_agg(name, setting)::text FROM pg_settings) AS settings,
       current_setting('role') AS role,
       current_setting('session_authorization') AS login;

-- name: restore_role
-- A role that may read no settings could not restore them: it goes first.
SELECT CASE WHEN current_setting('session_authorization') <> $2
            THEN set_config('session_authorization', $2, false) END,
       CASE WHEN current_setting('role') <> $1 THEN set_config('role', $1, false) END;

-- name: restore_settings
-- For the rest of the transaction; those of the session are reset when its connection goes back.
SELECT set_config(s.name, coalesce(b.value, s.reset_val, ''), true)
FROM pg_settings s
LEFT JOIN jsonb_each_text($1::text::jsonb) b ON b.key = s.name
WHERE s.setting IS DISTINCT FROM coalesce(b.value, s.reset_val, '')
  AND s.context IN ('user', 'superuser');

-- name: read_own_settings
-- Those with a name of the service's own are in no list.
SELECT jsonb_object_agg(name, current_setting(name, true))::text FROM unnest($1::text[]) AS name;

-- name: restore_own_settings
SELECT set_config(key, coalesce(value, ''), true) FROM jsonb_each_text($1::text::jsonb)
WHERE current_setting(key, true) IS DISTINCT FROM value;

-- name: list_deferred_constraints
SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ')
FROM pg_constraint c
JOIN pg_namespace n ON n.oid = c.connamespace
WHERE c.condeferrable AND c.condeferred AND has_schema_privilege(n.oid, 'USAGE');

-- name: list_prepared_by_name
SELECT string_agg(format('DEALLOCATE %I', name), '; ') FROM pg_prepared_statements WHERE from_sql;
