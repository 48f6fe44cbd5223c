-- What the swap of a rebuilt copy changes, as a comparison before it has found, and whether a person
-- approved that rows are lost. A row outlives the swap, for whoever asked for the rebuild.
CREATE TABLE sidecar.previews (
    projection     text COLLATE "C" PRIMARY KEY,
    is_approved    boolean NOT NULL DEFAULT false,
    report         json,
    needs_approval boolean NOT NULL DEFAULT false
);

-- Up to where a read model that was emptied to be filled again by its own loop is incomplete.
ALTER TABLE sidecar.checkpoints ADD COLUMN refilled_upto bigint;
