-- The tables of read models, as the server knows them.

-- name: list_claims
-- The tables that each projection declares, with the tables that the names stand for, and the
-- schema in which one of that name would be created. $1 matches valid names: `to_regclass` fails
-- for others.
SELECT c.projection, max(c.partitions) AS partitions, t.name,
       max(c.position) > 0 OR max(c.moved_at) IS NOT NULL AS has_run,
       CASE WHEN t.name ~ $1 THEN to_regclass(t.name)::oid END AS oid,
       current_schema() AS schema
FROM sidecar.checkpoints c CROSS JOIN LATERAL unnest(c.tables) AS t (name)
WHERE c.copy = 'live'
GROUP BY c.projection, t.name;

-- name: find_tables
-- Those of the tables $1 that exist; $2 as in `list_claims`. Of a table that the role has no right
-- to read only the number of pages is known.
SELECT t.name, c.oid::regclass::text AS place,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE')
           AS can_read,
       pg_relation_size(c.oid) > 0 AS has_pages
FROM unnest($1::text[]) AS t (name)
JOIN pg_class c ON c.oid = CASE WHEN t.name ~ $2 THEN to_regclass(t.name) END
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: list_stray_writes
-- Tables that this transaction has written, outside of schema $1, our own and its temporary one.
SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
  AND l.mode IN (
      'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
  )
  AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ($1, 'sidecar', 'pg_catalog')
ORDER BY name;

-- name: list_grants
SELECT format(
           'GRANT %s ON TABLE %I.%I TO %s%s', a.privilege_type, $2::text, c.relname,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
           CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
       ) AS statement
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = to_regclass($1);

-- name: list_sequences
-- With LIKE a copy's `serial` column uses the old table's sequence, which is dropped with the old
-- table; these statements give the copy in schema $2 sequences of its own.
SELECT unnest(ARRAY[
           format(
               'CREATE SEQUENCE %I.%I AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s '
               '%s OWNED BY %I.%I.%I',
               $2::text, s.relname, q.seqtypid::regtype, q.seqincrement, q.seqmin, q.seqmax,
               q.seqstart, q.seqcache, CASE WHEN q.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END,
               $2, c.relname, a.attname
           ),
           format(
               'ALTER TABLE %I.%I ALTER %I SET DEFAULT nextval(%L::regclass)',
               $2, c.relname, a.attname, format('%I.%I', $2, s.relname)
           )
       ]) AS statement
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
JOIN pg_depend owned ON owned.classid = 'pg_class'::regclass AND owned.deptype = 'a'
     AND owned.refobjid = c.oid AND owned.refobjsubid = a.attnum
JOIN pg_depend used ON used.classid = 'pg_attrdef'::regclass AND used.objid = d.oid
     AND used.refobjid = owned.objid
JOIN pg_class s ON s.oid = owned.objid AND s.relkind = 'S'
JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE c.oid = to_regclass($1);

-- name: list_index_names
-- LIKE gives indexes and their constraints new names; these statements give those of copy $2 in
-- schema $3 the names that `ON CONFLICT ON CONSTRAINT` and `CREATE INDEX IF NOT EXISTS` need. In
-- two steps, since the old name of one may be the new name of another.
WITH indexes AS (
    SELECT i.indrelid, c.oid, c.relname, i.definition,
           row_number() OVER (PARTITION BY i.indrelid, i.definition ORDER BY c.oid) AS number
    FROM (
        SELECT indrelid, indexrelid,
               (indisunique, indisprimary, substring(pg_get_indexdef(indexrelid), ' USING .*'))::text
                   AS definition
        FROM pg_index WHERE indrelid IN (to_regclass($1), to_regclass($2))
    ) AS i JOIN pg_class c ON c.oid = i.indexrelid
), pairs AS (
    SELECT fresh.relname AS name, 'sidecar_' || fresh.oid AS between, old.relname AS wanted
    FROM indexes old JOIN indexes fresh USING (definition, number)
    WHERE old.indrelid = to_regclass($1) AND fresh.indrelid = to_regclass($2)
)
SELECT format('ALTER INDEX %I.%I RENAME TO %I', $3::text, name, between) AS statement, 1 AS step
FROM pairs
UNION ALL
SELECT format('ALTER INDEX %I.%I RENAME TO %I', $3, between, wanted), 2 FROM pairs
ORDER BY step;
