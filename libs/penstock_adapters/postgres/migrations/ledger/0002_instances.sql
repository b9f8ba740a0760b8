-- Which instances share the partitions: each says again and again that it lives. What is forgotten
-- in a crash is said again within a second, so nothing of it need ever reach the disk.

CREATE UNLOGGED TABLE instances (
    name text COLLATE "C" PRIMARY KEY,
    lives_until timestamptz NOT NULL
) WITH (
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);
