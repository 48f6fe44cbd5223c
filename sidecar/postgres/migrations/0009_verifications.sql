-- Comparisons of a read model with a replay of the log: those under way, and what others found.
-- `share` bounds the part of a core that one may use; null leaves it without a bound. One is outdated
-- once its read model was replaced.
CREATE TABLE sidecar.verifications (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection      text COLLATE "C" NOT NULL,
    state           text        NOT NULL DEFAULT 'running'
                    CHECK (state IN ('running', 'equal', 'drifted', 'failed', 'cancelled')),
    share           real        CHECK (share > 0 AND share <= 1),
    ignored         text[]      NOT NULL DEFAULT '{}',
    requested_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    filled_position bigint      NOT NULL DEFAULT 0,
    compared_rows   bigint      NOT NULL DEFAULT 0,
    detail          text,
    report          json,
    position        bigint,
    drift_rows      bigint,
    is_outdated     boolean     NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX verifications_running_idx ON sidecar.verifications (projection)
    WHERE state = 'running';
CREATE INDEX verifications_ended_idx ON sidecar.verifications (projection, ended_at DESC);
