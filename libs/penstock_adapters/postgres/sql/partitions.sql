-- The row of a partition: its owner, epoch, lease and commit number.

-- Who wants a row that is being committed waits for its outcome. Then the owner has shown that it
-- lives, however long that took: the commit number is another than when this statement began.
-- name: acquire
INSERT INTO partitions AS p
    (partition, owner, epoch, commit_number, n, chain_head, positions, lease_ends)
VALUES (
    %(partition)b, %(owner)b, 1, 0, 0, %(genesis)b, '{}',
    clock_timestamp() + make_interval(secs => %(lease_s)b)
)
ON CONFLICT (partition) DO UPDATE
SET owner = excluded.owner,
    epoch = p.epoch + 1,
    lease_ends = clock_timestamp() + make_interval(secs => %(lease_s)b)
WHERE p.owner = excluded.owner
    OR p.lease_ends = to_timestamp(0)
    OR (
        p.lease_ends <= clock_timestamp()
        AND p.commit_number = (
            SELECT seen.commit_number FROM partitions AS seen WHERE seen.partition = %(partition)b
        )
    )
RETURNING partition, owner, epoch, commit_number, n, chain_head, positions::text;

-- A server that crashes may forget the last of these: then a lease ends early. So no disk, and no
-- standby, is waited for. (set_config to the end of the transaction: of this statement alone.)
-- Nor is a commit, which holds the row until it has both: it prolongs the lease by itself.
-- name: renew
WITH unheld AS (
    SELECT partition
    FROM partitions
    WHERE partition = %(partition)b AND epoch = %(epoch)b
        AND set_config('synchronous_commit', 'off', true) = 'off'
    FOR NO KEY UPDATE SKIP LOCKED
),
prolonged AS (
    UPDATE partitions AS p
    SET lease_ends = clock_timestamp() + make_interval(secs => %(lease_s)b)
    FROM unheld
    WHERE p.partition = unheld.partition
)
SELECT epoch FROM partitions WHERE partition = %(partition)b AND epoch = %(epoch)b;

-- A lease that was let go ends in 1970, so that it is told from one that has run out.
-- name: release
UPDATE partitions
SET lease_ends = to_timestamp(0)
WHERE partition = %(partition)b AND epoch = %(epoch)b
RETURNING epoch;

-- name: declare
INSERT INTO partitions
    (partition, owner, epoch, commit_number, n, chain_head, positions, lease_ends)
SELECT partition, '', 0, 0, 0, genesis, '{}', to_timestamp(0)
FROM unnest(%(partitions)b::text[], %(geneses)b::bytea[]) AS d (partition, genesis)
ON CONFLICT (partition) DO NOTHING;

-- name: attend
INSERT INTO instances (name, lives_until)
VALUES (%(name)b, clock_timestamp() + make_interval(secs => %(lease_s)b))
ON CONFLICT (name) DO UPDATE SET lives_until = excluded.lives_until;

-- name: roster
SELECT TRUE AS lives, name, '' AS owner, 0::bigint AS epoch, 'runs' AS lease
FROM instances
WHERE lives_until > clock_timestamp()
UNION ALL
SELECT FALSE, partition, owner, epoch,
    CASE
        WHEN lease_ends > clock_timestamp() THEN 'runs'
        WHEN lease_ends = to_timestamp(0) THEN 'free'
        ELSE 'ended'
    END
FROM partitions
ORDER BY 1, 2;

-- name: forget_instances
DELETE FROM instances WHERE lives_until < clock_timestamp() - interval '1 day';

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
