-- Events that a projection passed over and does without, by a person's decision. They are left out
-- of each copy that is filled from the log, however often its checkpoint is made anew.
CREATE TABLE sidecar.accepted_gaps (
    projection     text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    partition      integer NOT NULL,
    partitions     integer NOT NULL,
    first_position bigint  NOT NULL,
    last_position  bigint  NOT NULL,
    PRIMARY KEY (projection, type, partition, partitions, first_position)
);
