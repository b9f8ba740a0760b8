-- The row of a partition: its owner, epoch, lease and commit number.

-- name: acquire
INSERT INTO partitions AS p
    (partition, owner, epoch, commit_number, n, chain_head, positions, lease_ends)
VALUES (
    %(partition)b, %(owner)b, 1, 0, 0, %(genesis)b, '{}',
    clock_timestamp() + make_interval(secs => %(lease_s)b)
)
ON CONFLICT (partition) DO UPDATE
SET owner = excluded.owner, epoch = p.epoch + 1, lease_ends = excluded.lease_ends
WHERE p.owner = excluded.owner OR p.lease_ends <= clock_timestamp()
RETURNING partition, owner, epoch, commit_number, n, chain_head, positions::text;

-- name: renew
UPDATE partitions
SET lease_ends = clock_timestamp() + make_interval(secs => %(lease_s)b)
WHERE partition = %(partition)b AND epoch = %(epoch)b
RETURNING epoch;

-- name: release
UPDATE partitions
SET lease_ends = clock_timestamp()
WHERE partition = %(partition)b AND epoch = %(epoch)b
RETURNING epoch;

-- FOR SHARE waits for a commit that holds the row, so its outcome is seen.
-- name: settled_row
SELECT partition, owner, epoch, commit_number, n, chain_head, positions::text
FROM partitions
WHERE partition = %(partition)b
FOR SHARE;

-- name: all_rows
SELECT partition, owner, epoch, commit_number, n, chain_head, positions::text
FROM partitions
ORDER BY partition;

-- name: schema_version
SELECT max(version) FROM schema_version;
