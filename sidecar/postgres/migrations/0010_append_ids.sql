-- Ids that a writer chose for its events, so that an append whose answer was lost can be tried again.
-- Apart from the log, where an index on each event's id would slow down every append.
CREATE TABLE sidecar.append_ids (
    id       uuid PRIMARY KEY,
    stream   text COLLATE "C" NOT NULL,
    version  bigint NOT NULL,
    position bigint NOT NULL
);
