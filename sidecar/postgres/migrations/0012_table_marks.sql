-- Which table each name of a read model stood for, and in which file it was, when nothing but its
-- projection had changed it. A file is another one after TRUNCATE and after every rewrite. What
-- somebody else did since then stays told until a person or a verification settles it. Counts are
-- the server's own of that moment: they begin anew after a crash.
CREATE TABLE sidecar.table_marks (
    projection      text COLLATE "C" NOT NULL,
    name            text        NOT NULL,
    relid           oid         NOT NULL,
    filenode        oid         NOT NULL,
    live_rows       bigint      NOT NULL,
    inserted        bigint      NOT NULL,
    marked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    change          text        CHECK (change IN ('rewritten', 'written', 'replaced', 'emptied')),
    changed_at      timestamptz,
    last_changed_at timestamptz,
    PRIMARY KEY (projection, name)
);
