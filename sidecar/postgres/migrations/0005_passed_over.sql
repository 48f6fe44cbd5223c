-- What the code that last moved a checkpoint handles; null where that is not known.
ALTER TABLE sidecar.checkpoints ADD COLUMN handles text[];

-- Which types of events the code handled that moved a projection over a part of the log; `{*}` are
-- all. It is written in the transaction that moves the checkpoint, wherever the types change, so that
-- it is exact however releases follow each other. The part that goes on has no end yet.
CREATE TABLE sidecar.handled_ranges (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection    text COLLATE "C" NOT NULL,
    copy          text    NOT NULL,
    partition     integer NOT NULL,
    partitions    integer NOT NULL,
    types         text[]  NOT NULL,
    from_position bigint  NOT NULL,
    upto_position bigint
);
CREATE INDEX handled_ranges_projection_idx ON sidecar.handled_ranges (projection, copy, partition);

-- Events in such a part whose type another release of the projection handles, counted up to a
-- position. What a person accepted is told no more.
CREATE TABLE sidecar.passed_over (
    range_id       bigint NOT NULL REFERENCES sidecar.handled_ranges ON DELETE CASCADE,
    type           text COLLATE "C" NOT NULL,
    counted_upto   bigint NOT NULL,
    events         bigint NOT NULL DEFAULT 0,
    first_position bigint,
    last_position  bigint,
    is_accepted    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (range_id, type)
);
