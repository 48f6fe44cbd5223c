-- Which types of events the releases of a projection handle, as each says at its start. A release
-- that lacks one of them parks its events instead of passing over them, until the type is retired:
-- nobody wants it any more.
CREATE TABLE sidecar.declarations (
    projection     text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    release        text        NOT NULL DEFAULT '',
    declared_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at     timestamptz,
    retired_reason text,
    PRIMARY KEY (projection, type)
);

-- A projection that passed over events which it handles now waits for a decision as well. The
-- release that moves a checkpoint marks it with its version and the fingerprint of its code.
ALTER TABLE sidecar.checkpoints
    DROP CONSTRAINT checkpoints_block_check,
    ADD CONSTRAINT checkpoints_block_check CHECK (block ~ '^[a-z_]+$') NOT VALID,
    ADD COLUMN release text,
    ADD COLUMN fingerprint text,
    ADD COLUMN code_changed_at timestamptz;

-- Where a checkpoint stood that was deleted. Whoever deletes it may have no rights here, so that the
-- trigger's function runs with those of its owner.
CREATE TABLE sidecar.deleted_checkpoints (
    projection text COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    partitions integer     NOT NULL,
    kind       text        NOT NULL,
    tables     text[]      NOT NULL,
    service    text,
    start_position bigint  NOT NULL DEFAULT 0,
    position   bigint      NOT NULL,
    state      text        NOT NULL,
    detail     text,
    block      text,
    handles    text[],
    moved_at   timestamptz,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_by text        NOT NULL DEFAULT session_user,
    PRIMARY KEY (projection, partition)
);

CREATE FUNCTION sidecar.keep_deleted_checkpoint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.copy = 'live' AND coalesce(OLD.block, '') NOT IN ('filled', 'gone', 'ahead') THEN
        DELETE FROM sidecar.deleted_checkpoints
        WHERE projection = OLD.projection
          AND (partition = OLD.partition OR partitions <> OLD.partitions);
        INSERT INTO sidecar.deleted_checkpoints
            (projection, partition, partitions, kind, tables, service, start_position, position, state, detail,
             block, handles, moved_at)
        VALUES (OLD.projection, OLD.partition, OLD.partitions, OLD.kind, OLD.tables, OLD.service,
                OLD.start_position, OLD.position, OLD.state, OLD.detail, OLD.block, OLD.handles, OLD.moved_at);
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION sidecar.keep_truncated_checkpoints() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM sidecar.deleted_checkpoints d
    USING sidecar.checkpoints c
    WHERE c.projection = d.projection AND c.copy = 'live'
      AND coalesce(c.block, '') NOT IN ('filled', 'gone', 'ahead');
    INSERT INTO sidecar.deleted_checkpoints
        (projection, partition, partitions, kind, tables, service, start_position, position, state, detail, block,
         handles, moved_at)
    SELECT projection, partition, partitions, kind, tables, service, start_position, position, state, detail, block,
           handles, moved_at
    FROM sidecar.checkpoints
    WHERE copy = 'live' AND coalesce(block, '') NOT IN ('filled', 'gone', 'ahead');
    RETURN NULL;
END $$;

CREATE TRIGGER keep_deleted BEFORE DELETE ON sidecar.checkpoints
    FOR EACH ROW EXECUTE FUNCTION sidecar.keep_deleted_checkpoint();
CREATE TRIGGER keep_truncated BEFORE TRUNCATE ON sidecar.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION sidecar.keep_truncated_checkpoints();
