-- Dead letters that were deleted before they were settled, by whoever may delete them. What was
-- deleted by the sidecar itself is not here. `events` are the one of the dead letter and those of its
-- stream that waited behind it.
CREATE TABLE sidecar.deleted_dead_letters (
    letter_id        bigint PRIMARY KEY,
    projection       text COLLATE "C" NOT NULL,
    stream           text COLLATE "C" NOT NULL,
    position         bigint,
    event_type       text        NOT NULL,
    error_type       text        NOT NULL,
    events           bigint      NOT NULL,
    deleted_by       text        NOT NULL,
    application_name text        NOT NULL,
    deleted_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_settled       boolean     NOT NULL DEFAULT false
);
CREATE INDEX deleted_dead_letters_open_idx ON sidecar.deleted_dead_letters (projection)
    WHERE NOT is_settled;

-- With the rights of their owner, since whoever may delete a dead letter need not have others.
CREATE FUNCTION sidecar.keep_deleted_letter(letter sidecar.dead_letters) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO sidecar.deleted_dead_letters (
        letter_id, projection, stream, position, event_type, error_type, events, deleted_by,
        application_name
    )
    SELECT letter.id, letter.projection, letter.stream, letter.position, letter.event_type,
           letter.error_type,
           1 + (
               SELECT count(*) FROM sidecar.events e
               JOIN sidecar.checkpoints c ON c.projection = letter.projection AND c.copy = 'live'
                   AND c.partition = (hashtext(letter.stream) & 2147483647) % c.partitions
               WHERE letter.position IS NOT NULL AND e.stream = letter.stream
                 AND e.version > letter.version AND e.position <= c.position
           ),
           session_user, current_setting('application_name')
    ON CONFLICT (letter_id) DO NOTHING
$$;

CREATE FUNCTION sidecar.keep_deleted_letters() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM sidecar.keep_deleted_letter(d) FROM sidecar.dead_letters d
        WHERE d.resolution IS NULL;
    ELSE
        PERFORM sidecar.keep_deleted_letter(OLD);
    END IF;
    RETURN NULL;
END
$$;

-- An event that waited for its next try is forgotten by the sidecar once it is applied, which says so
-- in its transaction.
CREATE TRIGGER keep_deleted_letters AFTER DELETE ON sidecar.dead_letters FOR EACH ROW
    WHEN (
        OLD.resolution IS NULL
        AND (
            OLD.category <> 'retry'
            OR current_setting('event_sidecar.forgets', true) IS DISTINCT FROM OLD.projection
        )
    )
    EXECUTE FUNCTION sidecar.keep_deleted_letters();
CREATE TRIGGER keep_truncated_letters BEFORE TRUNCATE ON sidecar.dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION sidecar.keep_deleted_letters();

-- What people gave up is never applied, for as long as the log and the projection last, however long
-- its dead letter is kept.
CREATE TABLE sidecar.discards (
    projection   text COLLATE "C" NOT NULL,
    position     bigint      NOT NULL,
    stream       text COLLATE "C" NOT NULL,
    version      bigint      NOT NULL,
    reason       text,
    discarded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, position)
);
INSERT INTO sidecar.discards (projection, position, stream, version, reason, discarded_at)
SELECT projection, position, stream, version, reason, resolved_at FROM sidecar.dead_letters
WHERE resolution = 'discarded' AND position IS NOT NULL
ON CONFLICT DO NOTHING;

-- By a trigger, so that an older release of the command keeps them as well.
CREATE FUNCTION sidecar.keep_discard() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO sidecar.discards (projection, position, stream, version, reason)
    VALUES (NEW.projection, NEW.position, NEW.stream, NEW.version, NEW.reason)
    ON CONFLICT (projection, position) DO UPDATE SET reason = excluded.reason;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_discard AFTER INSERT OR UPDATE OF projection, position, resolution
    ON sidecar.dead_letters FOR EACH ROW
    WHEN (NEW.resolution = 'discarded' AND NEW.position IS NOT NULL)
    EXECUTE FUNCTION sidecar.keep_discard();

REVOKE ALL ON FUNCTION sidecar.keep_deleted_letter(sidecar.dead_letters), sidecar.keep_deleted_letters(),
    sidecar.keep_discard() FROM PUBLIC;

-- What the log was when it was last seen, for a log that was restored without the rest of its
-- database; processes and their data directories remember it as well.
CREATE TABLE sidecar.log_memory (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    position bigint NOT NULL,
    memory   json   NOT NULL
);

-- Events that a restored log lacks though they were seen: those from `first_position` on, up to
-- `last_position`. Known by the first of them, so that everybody who remembers it finds one loss.
CREATE TABLE sidecar.log_losses (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_position  bigint      NOT NULL,
    first_event     text        NOT NULL,
    last_position   bigint      NOT NULL,
    common_position bigint,
    events          bigint      NOT NULL,
    is_exact        boolean     NOT NULL,
    found_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at      timestamptz,
    reason          text,
    UNIQUE (first_position, first_event)
);
