-- Statements of a verification. Those with {shadow} name the schema of its copy.

-- name: lock_verification
SELECT id, share, ignored, requested_at FROM sidecar.verifications
WHERE projection = $1 AND state = 'running' FOR UPDATE;

-- name: find_verification
SELECT id, share, ignored FROM sidecar.verifications WHERE projection = $1 AND state = 'running';

-- name: request_verification
INSERT INTO sidecar.verifications (projection, share, ignored) VALUES ($1, $2, $3)
ON CONFLICT (projection) WHERE state = 'running' DO NOTHING
RETURNING id;

-- name: schedule_verification
-- Of the projections $1 one whose tables somebody else has changed since, or that other code runs
-- since, or the one that was verified longest ago, at least $3 seconds, unless one is verified in the
-- background already. Its last verification counts, whatever it came to.
INSERT INTO sidecar.verifications (projection, share)
SELECT c.projection, $2
FROM sidecar.checkpoints c
LEFT JOIN LATERAL (
    SELECT max(ended_at) AS ended_at FROM sidecar.verifications
    WHERE projection = c.projection AND NOT is_outdated
) AS last ON true
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM sidecar.table_marks m
        WHERE m.projection = c.projection AND m.change IS NOT NULL AND m.left_position IS NULL
          AND (last.ended_at IS NULL OR m.last_changed_at > last.ended_at)
    ) OR coalesce(c.code_changed_at > coalesce(last.ended_at, '-infinity'), false) AS is_changed
) AS since
WHERE c.projection = ANY($1::text[]) AND c.copy = 'live' AND c.partition = 0
  AND c.state = 'running' AND cardinality(c.tables) > 0
  AND pg_try_advisory_xact_lock(7236176, 0)
  AND NOT EXISTS (
      SELECT FROM sidecar.verifications WHERE state = 'running' AND share IS NOT NULL
  )
  AND (
      since.is_changed OR last.ended_at IS NULL
      OR last.ended_at < now() - make_interval(secs => $3::float8)
  )
ORDER BY since.is_changed DESC, last.ended_at NULLS FIRST, c.projection LIMIT 1
ON CONFLICT (projection) WHERE state = 'running' DO NOTHING
RETURNING projection;

-- name: end_verification
UPDATE sidecar.verifications SET state = $2, detail = $3, ended_at = clock_timestamp()
WHERE projection = $1 AND state = 'running'
RETURNING id;

-- name: judge_verification
-- With the highest position $3 at which it compared, and $4 wrong rows.
UPDATE sidecar.verifications
SET state = $2, position = $3, drift_rows = $4, ended_at = clock_timestamp()
WHERE projection = $1 AND state = 'running';

-- name: outdate_verifications
UPDATE sidecar.verifications SET is_outdated = true WHERE projection = $1 AND NOT is_outdated;

-- name: sample_verifications
-- Of each projection the last one that compared all, and how the latest of all ended.
SELECT p.projection, l.state = 'running' AS is_running,
       CASE WHEN l.state = 'failed' THEN l.detail END AS failure,
       v.ended_at AS verified_at, v.position, v.drift_rows
FROM (SELECT DISTINCT projection FROM sidecar.verifications) AS p
CROSS JOIN LATERAL (
    SELECT state, detail FROM sidecar.verifications
    WHERE projection = p.projection ORDER BY id DESC LIMIT 1
) AS l
LEFT JOIN LATERAL (
    SELECT ended_at, position, drift_rows FROM sidecar.verifications
    WHERE projection = p.projection AND state IN ('equal', 'drifted') AND NOT is_outdated
    ORDER BY id DESC LIMIT 1
) AS v ON true;

-- name: describe_shape
-- Of the tables with oids $1: changes with a column or its type, or when a table is another one.
SELECT md5(string_agg(format('%s %s %s', a.attrelid, a.attname, a.atttypid), ',' ORDER BY
           a.attrelid, a.attnum))
FROM pg_attribute a
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped;

-- name: find_schema_grant
-- The statement that lets this role create a schema; null when it may.
SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
WHERE NOT has_database_privilege(current_database(), 'CREATE');

-- name: create_progress
-- Not logged, as the copy is not: a crash of the server empties both.
CREATE UNLOGGED TABLE {shadow}.sidecar_progress (
    verification bigint NOT NULL,
    shape        text   NOT NULL,
    position     bigint NOT NULL DEFAULT 0,
    place        json,
    report       json
);

-- name: create_withheld
-- Streams whose events the copy has not applied from a version on, for they were parked.
CREATE UNLOGGED TABLE {shadow}.sidecar_withheld (
    stream  text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
);

-- name: begin_progress
-- From where the live copy of projection $3 started.
INSERT INTO {shadow}.sidecar_progress (verification, shape, position)
SELECT $1, $2, max(start_position) FROM sidecar.checkpoints
WHERE projection = $3 AND copy = 'live'
HAVING count(*) > 0;

-- name: has_progress
SELECT to_regclass($1 || '.sidecar_progress') IS NOT NULL;

-- name: read_progress
SELECT p.verification, p.shape, p.position, p.place, p.report,
       ARRAY(
           SELECT d.position::text FROM sidecar.discards d
           WHERE d.projection = $1 AND d.position > p.position
       ) AS discarded,
       ARRAY(
           SELECT h.type FROM sidecar.declarations h
           WHERE h.projection = $1 AND h.retired_at IS NULL ORDER BY h.type
       ) AS declared
FROM {shadow}.sidecar_progress p;

-- name: lock_progress
-- Limits as in `lock_checkpoint`.
SELECT p.verification, p.shape, p.position, pg_current_xact_id()::text AS transaction,
       EXISTS (SELECT FROM {shadow}.sidecar_withheld) OR EXISTS (
           SELECT FROM sidecar.dead_letters d
           WHERE d.projection = $1 AND d.resolution IS NULL AND d.position IS NOT NULL
       ) AS has_parked,
       ARRAY(
           SELECT d.position::text FROM sidecar.discards d
           WHERE d.projection = $1 AND d.position > p.position
       ) AS discarded,
       ARRAY(
           SELECT h.type FROM sidecar.declarations h
           WHERE h.projection = $1 AND h.retired_at IS NULL ORDER BY h.type
       ) AS declared,
       (SELECT state FROM sidecar.verifications v WHERE v.id = p.verification) AS state,
       set_config('idle_in_transaction_session_timeout', '0', true),
       CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
            THEN set_config('transaction_timeout', '0', true) END,
       set_config('synchronous_commit', 'off', true)
FROM {shadow}.sidecar_progress p
FOR UPDATE OF p;

-- name: move_progress
WITH moved AS (
    UPDATE {shadow}.sidecar_progress SET position = $2
    WHERE position = $1 AND pg_current_xact_id()::text = $3
    RETURNING verification
)
UPDATE sidecar.verifications v SET filled_position = $2 FROM moved WHERE v.id = moved.verification;

-- name: list_read_tables
-- What this transaction has read, beside the schema $1 of its own copy and the tables of this one.
SELECT DISTINCT c.oid::regclass::text AS name
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'AccessShareLock'
  AND c.relkind IN ('r', 'p', 'm', 'f') AND c.relnamespace NOT IN (
      $1::text::regnamespace, 'pg_catalog'::regnamespace, 'pg_toast'::regnamespace,
      (SELECT relnamespace FROM pg_class WHERE oid = 'sidecar.events'::regclass)
  );

-- name: list_withheld
SELECT stream FROM {shadow}.sidecar_withheld
UNION
SELECT stream FROM sidecar.dead_letters
WHERE projection = $1 AND resolution IS NULL AND position IS NOT NULL;

-- name: withhold
-- The events of streams $3 above position $1 up to $2.
INSERT INTO {shadow}.sidecar_withheld (stream, version)
SELECT stream, min(version) FROM sidecar.events
WHERE stream = ANY($3::text[]) AND position > $1 AND position <= $2
GROUP BY stream
ON CONFLICT (stream) DO NOTHING;

-- name: read_withheld
-- Up to $3 events that were withheld up to position $2, and are applied to the live copy by now.
SELECT e.position, e.stream, e.version, uuid_send(e.id), e.type, e.schema_version, e.data::text,
       e.metadata::text, date_part('epoch', e.recorded_at)
FROM {shadow}.sidecar_withheld w
JOIN sidecar.events e ON e.stream = w.stream AND e.version >= w.version
LEFT JOIN sidecar.dead_letters o
    ON o.projection = $1 AND o.stream = w.stream AND o.resolution IS NULL AND o.position IS NOT NULL
WHERE e.position <= $2 AND (o.version IS NULL OR e.version < o.version)
  AND NOT EXISTS (
      SELECT FROM sidecar.discards d WHERE d.projection = $1 AND d.position = e.position
  )
  AND NOT EXISTS (
      SELECT FROM sidecar.accepted_gaps g
      WHERE g.projection = $1 AND g.type = e.type
        AND e.position BETWEEN g.first_position AND g.last_position
        AND (hashtext(e.stream) & 2147483647) % g.partitions = g.partition
  )
ORDER BY e.position LIMIT $3;

-- name: hand_over_withheld
-- Streams $1 were applied up to versions $2.
UPDATE {shadow}.sidecar_withheld w SET version = t.version::bigint + 1
FROM unnest($1::text[], $2::text[]) AS t (stream, version) WHERE w.stream = t.stream;

-- name: drop_withheld
-- Those of which nothing is withheld up to position $2 any more.
DELETE FROM {shadow}.sidecar_withheld w
WHERE NOT EXISTS (
    SELECT FROM sidecar.dead_letters o
    WHERE o.projection = $1 AND o.stream = w.stream AND o.resolution IS NULL
      AND o.position IS NOT NULL
) AND NOT EXISTS (
    SELECT FROM sidecar.events e
    WHERE e.stream = w.stream AND e.version >= w.version AND e.position <= $2
);

-- name: read_tail
-- Up to $4 events above position $2, of which the live copy has applied all that may be applied.
-- They follow $3, the position of the last one that was read so.
SELECT e.position, e.stream, e.version, uuid_send(e.id), e.type, e.schema_version, e.data::text,
       e.metadata::text, date_part('epoch', e.recorded_at)
FROM sidecar.checkpoints c
JOIN sidecar.events e
    ON e.position > greatest($2::bigint, $3::bigint) AND e.position <= c.position
    AND (c.partitions = 1 OR (hashtext(e.stream) & 2147483647) % c.partitions = c.partition)
LEFT JOIN sidecar.dead_letters o
    ON o.projection = $1 AND o.stream = e.stream AND o.resolution IS NULL AND o.position IS NOT NULL
WHERE c.projection = $1 AND c.copy = 'live' AND (o.version IS NULL OR e.version < o.version)
  AND NOT EXISTS (
      SELECT FROM sidecar.discards d WHERE d.projection = $1 AND d.position = e.position
  )
  AND NOT EXISTS (
      SELECT FROM sidecar.accepted_gaps g
      WHERE g.projection = $1 AND g.type = e.type
        AND e.position BETWEEN g.first_position AND g.last_position
        AND (hashtext(e.stream) & 2147483647) % g.partitions = g.partition
  )
ORDER BY e.position LIMIT $4;

-- name: read_live_positions
SELECT min(position) AS lowest, max(position) AS highest FROM sidecar.checkpoints
WHERE projection = $1 AND copy = 'live';

-- name: keep_compared
UPDATE {shadow}.sidecar_progress SET place = $2, report = $3 WHERE verification = $1;

-- name: show_compared
UPDATE sidecar.verifications SET compared_rows = $2, report = $3 WHERE id = $1 AND state = 'running';

-- name: find_streams_of_key
-- Up to position $2, of streams that are named like one of the values $1: alone, or behind a prefix
-- as recent streams have it.
WITH recent AS (
    SELECT stream FROM sidecar.events ORDER BY position DESC LIMIT 1000
), prefixes AS (
    SELECT '' AS prefix
    UNION SELECT substring(stream FROM '^.*[^[:alnum:]]') FROM recent
    UNION SELECT substring(stream FROM '^[[:alnum:]]*[^[:alnum:]]') FROM recent
)
SELECT e.stream, min(e.version) AS first_version, max(e.version) AS last_version,
       (array_agg(e.position ORDER BY e.position DESC))[1:$3::integer] AS positions
FROM prefixes p CROSS JOIN unnest($1::text[]) AS k (value)
JOIN sidecar.events e ON e.stream = p.prefix || k.value AND e.position <= $2
GROUP BY e.stream ORDER BY e.stream LIMIT 3;

-- name: find_events_with_key
-- The same of events whose data holds a value at its top.
SELECT e.stream, min(e.version) AS first_version, max(e.version) AS last_version,
       (array_agg(e.position ORDER BY e.position DESC))[1:$3::integer] AS positions
FROM sidecar.events e
WHERE e.position <= $2 AND EXISTS (
    SELECT FROM unnest($1::text[]) AS k (value) WHERE strpos(e.data::text, k.value) > 0
) AND EXISTS (
    SELECT FROM json_each_text(CASE WHEN json_typeof(e.data) = 'object' THEN e.data END) AS d
    WHERE d.value = ANY($1)
)
GROUP BY e.stream ORDER BY max(e.position) DESC LIMIT 3;

-- name: list_columns
-- Of table $1 of a read model with the tables $2. A default that is no constant gives each copy
-- another value, and what refers to such a column follows it; base types without equality can only
-- be compared as they are stored.
WITH RECURSIVE bases AS (
    SELECT a.attnum, a.atttypid AS oid FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT b.attnum, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
    FROM bases b JOIN pg_type t ON t.oid = b.oid
    WHERE t.typtype = 'd' OR t.typcategory = 'A'
), sources AS (
    SELECT a.attnum, a.attrelid AS relid, a.attnum AS source FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT s.attnum, k.confrelid, k.confkey[p.place]
    FROM sources s
    JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = s.relid AND k.confrelid = ANY($2::oid[])
    CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
    WHERE p.attnum = s.source
), unsteady AS (
    SELECT a.attrelid AS relid, a.attnum
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    CROSS JOIN coalesce(d.adbin::text, t.typdefaultbin::text, '') AS made
    WHERE a.attrelid = ANY($1::oid || $2::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attgenerated = '' AND (
          a.attidentity <> '' OR made LIKE '%SQLVALUEFUNCTION%' OR EXISTS (
              SELECT FROM regexp_matches(made, ':(?:op)?funcid (\d+)', 'g') AS f (ids)
              JOIN pg_proc p ON p.oid = f.ids[1]::oid WHERE p.provolatile <> 'i'
          ) OR EXISTS (
              -- Of a text that is read as a time, such as 'now'.
              SELECT FROM regexp_matches(made, ':resulttype (\d+) :resultcollid', 'g') AS f (ids)
              JOIN pg_type r ON r.oid = f.ids[1]::oid WHERE r.typcategory = 'D'
          )
      )
)
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       (
           SELECT max(CASE b.oid WHEN 'float4'::regtype THEN 1e-5 WHEN 'float8'::regtype THEN 1e-9 END)
           FROM bases b WHERE b.attnum = a.attnum
       )::float8 AS tolerance,
       EXISTS (SELECT FROM unsteady u WHERE u.relid = a.attrelid AND u.attnum = a.attnum)
           AS is_unsteady,
       EXISTS (
           SELECT FROM sources s JOIN unsteady u ON u.relid = s.relid AND u.attnum = s.source
           WHERE s.attnum = a.attnum
       ) AS follows_unsteady,
       NOT EXISTS (
           SELECT FROM bases b JOIN pg_type t ON t.oid = b.oid
           WHERE b.attnum = a.attnum AND t.typtype IN ('b', 'c') AND t.typcategory <> 'A'
             -- Of texts that are equal in spite of what is stored, as in citext, one is wrong.
             AND (t.typtype = 'c' OR t.typcategory = 'S' OR NOT EXISTS (
                 SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                 WHERE m.amname = 'btree' AND o.opcdefault AND (
                     o.opcintype = t.oid OR EXISTS (
                         SELECT FROM pg_cast c
                         WHERE c.castsource = t.oid AND c.casttarget = o.opcintype
                           AND c.castmethod = 'b' AND c.castcontext = 'i'
                     )
                 )
             ))
       ) AS has_equality
FROM pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: compare_whole_values
SELECT set_config('extra_float_digits', '3', true), set_config('statement_timeout', '0', true);

-- name: list_unique_keys
-- Of table $1: columns of each index that no two rows share, the primary key first.
SELECT array_agg(a.attname::text ORDER BY k.place) AS columns
FROM pg_index i
CROSS JOIN unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts
HAVING bool_and(a.attnotnull)
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid;

-- name: list_key_actions
-- What foreign keys among the tables $1 do to rows that refer to one which is deleted or changes its
-- key, as triggers on the copies in schema $2. The keys themselves would check there, too, but rows
-- of parked streams are made later in a copy.
WITH actions AS (
    SELECT k.oid, e.event, k.conrelid, k.confrelid,
           CASE e.event WHEN 'DELETE' THEN k.confdeltype ELSE k.confupdtype END AS action,
           string_agg(format('c.%I = OLD.%I', c.attname, p.attname), ' AND ') AS is_referrer,
           string_agg(format('OLD.%I IS DISTINCT FROM NEW.%1$I', p.attname), ' OR ') AS is_changed,
           string_agg(format('%I = NEW.%I', c.attname, p.attname), ', ') AS follows,
           string_agg(format('%I = NULL', c.attname), ', ') FILTER (WHERE is_set) AS nulls,
           string_agg(format('%I = DEFAULT', c.attname), ', ') FILTER (WHERE is_set) AS defaults
    FROM pg_constraint k
    CROSS JOIN unnest(ARRAY['DELETE', 'UPDATE']) AS e (event)
    CROSS JOIN unnest(k.conkey, k.confkey) AS n (attnum, key_attnum)
    JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = n.attnum
    JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = n.key_attnum
    CROSS JOIN LATERAL (
        -- Servers before 15 know no `confdelsetcols`.
        SELECT to_jsonb(k) -> 'confdelsetcols' AS columns
    ) AS s
    CROSS JOIN LATERAL (
        SELECT e.event = 'UPDATE' OR coalesce(jsonb_typeof(s.columns), 'null') = 'null'
               OR s.columns @> to_jsonb(n.attnum) AS is_set
    ) AS i
    WHERE k.contype = 'f' AND k.conrelid = ANY($1::oid[]) AND k.confrelid = ANY($1)
    GROUP BY k.oid, e.event, k.conrelid, k.confrelid, k.confdeltype, k.confupdtype
), made AS (
    SELECT format('sidecar_key_%s_%s', a.oid, lower(a.event)) AS name, a.event, a.is_changed,
           t.relname AS parent,
           CASE
               WHEN a.action = 'c' AND a.event = 'DELETE'
                   THEN format('DELETE FROM %I.%I AS c WHERE %s', $2::text, r.relname, a.is_referrer)
               ELSE format(
                   'UPDATE %I.%I AS c SET %s WHERE %s', $2, r.relname,
                   CASE a.action WHEN 'c' THEN a.follows WHEN 'n' THEN a.nulls ELSE a.defaults END,
                   a.is_referrer
               )
           END AS statement
    FROM actions a JOIN pg_class r ON r.oid = a.conrelid JOIN pg_class t ON t.oid = a.confrelid
    WHERE a.action IN ('c', 'n', 'd')
)
SELECT unnest(ARRAY[
           format(
               'CREATE FUNCTION %I.%I() RETURNS trigger LANGUAGE plpgsql AS %L', $2, name,
               format('BEGIN %s; RETURN NULL; END', statement)
           ),
           format(
               'CREATE TRIGGER %I AFTER %s ON %I.%I FOR EACH ROW %s EXECUTE FUNCTION %I.%I()',
               name, event, $2, parent,
               CASE event WHEN 'UPDATE' THEN format('WHEN (%s)', is_changed) ELSE '' END, $2, name
           )
       ]) AS statement
FROM made;

-- name: list_verifications
-- The last one of each projection.
SELECT DISTINCT ON (v.projection)
       v.projection, v.state, v.share, v.requested_at, v.ended_at, v.filled_position,
       v.compared_rows, v.detail, v.report::text, live.position AS live_position, live.partitions
FROM sidecar.verifications v
JOIN (
    SELECT projection, min(position) AS position, max(partitions) AS partitions
    FROM sidecar.checkpoints WHERE copy = 'live' GROUP BY projection
) AS live USING (projection)
WHERE $1::text[] IS NULL OR v.projection = ANY($1)
ORDER BY v.projection, v.id DESC;

-- name: delete_verifications
-- What was found of a read model says nothing of a later one of the same name.
DELETE FROM sidecar.verifications WHERE projection = $1;

-- name: list_verifiable
SELECT projection FROM sidecar.checkpoints
WHERE copy = 'live' AND partition = 0 AND cardinality(tables) > 0 ORDER BY projection;

-- name: list_names
-- Of the columns of the tables $1.
SELECT DISTINCT a.attname AS name
FROM unnest($1::text[]) AS t (name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped;

-- name: list_tables
SELECT tables FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live' LIMIT 1;

-- name: begin_step
-- What a transaction has to know of its checkpoint: here there is none. The read model of projection
-- $1 has nothing of what is up to its start.
SELECT 0::bigint AS position, pg_current_xact_id()::text AS transaction, false AS has_parked,
       coalesce((
           SELECT max(start_position) FROM sidecar.checkpoints
           WHERE projection = $1 AND copy = 'live'
       ), 0) AS start_position;
