-- `block` tells why a projection must not run until a person decides: its tables hold rows that no
-- checkpoint accounts for (`filled`), or it ran before and its checkpoint is gone (`gone`).
ALTER TABLE sidecar.checkpoints
    ADD COLUMN block text CHECK (block IN ('filled', 'gone'));

-- What people took as it is, and why.
CREATE TABLE sidecar.acceptances (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection  text COLLATE "C" NOT NULL,
    what        text        NOT NULL,
    reason      text        NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
