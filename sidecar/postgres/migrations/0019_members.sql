-- Which members of a group have seen all events up to a checkpoint: its name alone where none are
-- kept, `{*}` where a person took the tables as they are.
ALTER TABLE sidecar.checkpoints ADD COLUMN members text[];
ALTER TABLE sidecar.deleted_checkpoints ADD COLUMN members text[];

CREATE OR REPLACE FUNCTION sidecar.keep_deleted_checkpoint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.copy = 'live' AND coalesce(OLD.block, '') NOT IN ('filled', 'gone', 'ahead') THEN
        DELETE FROM sidecar.deleted_checkpoints
        WHERE projection = OLD.projection
          AND (partition = OLD.partition OR partitions <> OLD.partitions);
        INSERT INTO sidecar.deleted_checkpoints
            (projection, partition, partitions, kind, tables, service, start_position, position, state, detail,
             block, handles, members, moved_at)
        VALUES (OLD.projection, OLD.partition, OLD.partitions, OLD.kind, OLD.tables, OLD.service,
                OLD.start_position, OLD.position, OLD.state, OLD.detail, OLD.block, OLD.handles, OLD.members,
                OLD.moved_at);
    END IF;
    RETURN OLD;
END $$;

CREATE OR REPLACE FUNCTION sidecar.keep_truncated_checkpoints() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM sidecar.deleted_checkpoints d
    USING sidecar.checkpoints c
    WHERE c.projection = d.projection AND c.copy = 'live'
      AND coalesce(c.block, '') NOT IN ('filled', 'gone', 'ahead');
    INSERT INTO sidecar.deleted_checkpoints
        (projection, partition, partitions, kind, tables, service, start_position, position, state, detail, block,
         handles, members, moved_at)
    SELECT projection, partition, partitions, kind, tables, service, start_position, position, state, detail, block,
           handles, members, moved_at
    FROM sidecar.checkpoints
    WHERE copy = 'live' AND coalesce(block, '') NOT IN ('filled', 'gone', 'ahead');
    RETURN NULL;
END $$;
