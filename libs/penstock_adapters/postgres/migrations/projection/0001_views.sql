-- The read model. COLLATE "C": keys are compared byte by byte, and prefixes use the index.

CREATE TABLE partitions (
    partition text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    epoch bigint NOT NULL,
    commit_number bigint NOT NULL,
    n bigint NOT NULL,
    chain_head bytea NOT NULL,
    positions jsonb NOT NULL,
    lease_ends timestamptz NOT NULL
) WITH (
    -- A row is updated by every commit; room on its page keeps that a heap-only update.
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

CREATE TABLE seen (
    partition text COLLATE "C" PRIMARY KEY,
    n bigint NOT NULL
) WITH (
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

-- `body` is json, not jsonb: nothing looks into it, and jsonb refuses strings that hold \u0000.
CREATE TABLE views (
    tenant text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    sort_key bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) WITH (fillfactor = 70);

CREATE INDEX views_page_idx ON views (tenant, kind, sort_key, id);

CREATE INDEX views_parent_idx ON views (tenant, kind, parent, sort_key, id)
WHERE parent <> '';

CREATE INDEX views_state_idx ON views (tenant, kind, state, sort_key, id)
WHERE state <> '';

CREATE INDEX views_group_idx ON views (tenant, kind, group_name, sort_key, id)
WHERE group_name <> '';
