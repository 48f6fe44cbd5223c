CREATE SCHEMA IF NOT EXISTS sidecar;

-- The log. An insert locks the table before it draws a position, and the sequence hands out one
-- number at a time (CACHE 1): the proof that a gap is dead rests on both.
CREATE TABLE sidecar.events (
    position       bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    version        bigint      NOT NULL CHECK (version > 0),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    schema_version integer     NOT NULL DEFAULT 1 CHECK (schema_version > 0),
    stream         text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    data           json        NOT NULL,
    metadata       json,
    CONSTRAINT events_stream_version_key UNIQUE (stream, version)
);

-- How far each projection is, per partition; `copy` tells a rebuild's row from the live one.
CREATE TABLE sidecar.checkpoints (
    projection text COLLATE "C" NOT NULL,
    copy       text        NOT NULL DEFAULT 'live' CHECK (copy IN ('live', 'rebuild')),
    partition  integer     NOT NULL DEFAULT 0,
    partitions integer     NOT NULL DEFAULT 1,
    kind       text        NOT NULL DEFAULT 'projection' CHECK (kind IN ('projection', 'handler')),
    tables     text[]      NOT NULL DEFAULT '{}',
    position   bigint      NOT NULL DEFAULT 0,
    state      text        NOT NULL DEFAULT 'running'
               CHECK (state IN ('running', 'paused', 'failed')),
    detail     text,
    moved_at   timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, copy, partition),
    CHECK (partition >= 0 AND partition < partitions)
);

-- Events that a projection could not apply. While one is unresolved its stream is parked: later
-- events of the stream wait in the log and are applied in order when the letter is retried, which
-- the projection's worker does once `retry_at` has come. A letter without a position is of an event
-- that was published in process: it holds the event itself, and parks nothing.
CREATE TABLE sidecar.dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection      text COLLATE "C" NOT NULL,
    stream          text COLLATE "C" NOT NULL,
    position        bigint,
    version         bigint      NOT NULL,
    event_id        uuid        NOT NULL,
    event_type      text        NOT NULL,
    event           json,
    schema_version  integer     NOT NULL DEFAULT 1,
    category        text        NOT NULL,
    error_type      text        NOT NULL,
    error_message   text        NOT NULL,
    traceback       text        NOT NULL,
    attempts        integer     NOT NULL,
    trace_id        text,
    first_failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_failed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_at        timestamptz,
    resolution      text CHECK (resolution IN ('retried', 'discarded')),
    reason          text,
    resolved_at     timestamptz,
    CHECK ((resolution IS NULL) = (resolved_at IS NULL))
);

CREATE UNIQUE INDEX dead_letters_parked_key ON sidecar.dead_letters (projection, stream)
    WHERE resolution IS NULL AND position IS NOT NULL;
CREATE INDEX dead_letters_due_idx ON sidecar.dead_letters (projection, retry_at)
    WHERE resolution IS NULL AND retry_at IS NOT NULL;

-- Gaps in the log that were proved dead: no transaction could still fill them.
CREATE TABLE sidecar.skipped_positions (
    first_position bigint PRIMARY KEY,
    last_position  bigint      NOT NULL CHECK (last_position >= first_position),
    skipped_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
