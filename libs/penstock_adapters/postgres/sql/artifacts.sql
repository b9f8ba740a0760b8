-- Artifacts: copies are made piece by piece, and one statement lets a whole one count.

-- name: begin
INSERT INTO artifact_copies DEFAULT VALUES RETURNING copy;

-- name: add
INSERT INTO artifact_chunks (copy, place, data)
VALUES (%(copy)b, %(place)b, %(data)b)
RETURNING place;

-- Another copy that counts already stays; ours is then of no use.
-- name: complete
INSERT INTO artifacts AS known (tenant, digest, copy, size, chunks)
VALUES (%(tenant)b, %(digest)b, %(copy)b, %(size)b, %(chunks)b)
ON CONFLICT (tenant, digest) DO UPDATE
SET copy = coalesce(known.copy, excluded.copy), size = excluded.size,
    chunks = CASE WHEN known.copy IS NULL THEN excluded.chunks ELSE known.chunks END,
    stored = now()
RETURNING copy;

-- name: renew
UPDATE artifacts SET stored = now()
WHERE tenant = %(tenant)b AND digest = %(digest)b AND copy IS NOT NULL
RETURNING copy;

-- name: find
SELECT copy, chunks FROM artifacts WHERE tenant = %(tenant)b AND digest = %(digest)b;

-- name: chunk
SELECT data FROM artifact_chunks WHERE copy = %(copy)b AND place = %(place)b;

-- name: bury
INSERT INTO artifacts AS known (tenant, digest, copy, size, chunks)
VALUES (%(tenant)b, %(digest)b, NULL, 0, 0)
ON CONFLICT (tenant, digest) DO UPDATE SET copy = NULL
RETURNING size;

-- name: expire
WITH gone AS (
    SELECT tenant, digest FROM artifacts
    WHERE copy IS NOT NULL AND stored < now() - %(older_than)b
    ORDER BY stored
    LIMIT %(most)b
    FOR UPDATE SKIP LOCKED
)
UPDATE artifacts AS known SET copy = NULL
FROM gone WHERE known.tenant = gone.tenant AND known.digest = gone.digest
RETURNING known.tenant, known.digest;

-- Copies that do not count: of what was pruned, of what was put twice, and of puts that ended
-- half-way. The last ones only once nobody can be at work on them any more.
-- name: useless
SELECT copy FROM artifact_copies
WHERE NOT EXISTS (SELECT FROM artifacts WHERE artifacts.copy = artifact_copies.copy)
    AND begun < now() - %(older_than)b
LIMIT %(most)b;

-- name: drop_chunks
DELETE FROM artifact_chunks
WHERE (copy, place) IN (
    SELECT copy, place FROM artifact_chunks WHERE copy = %(copy)b LIMIT %(most)b
)
RETURNING place;

-- name: drop_copy
DELETE FROM artifact_copies WHERE copy = %(copy)b RETURNING copy;
