-- The bookkeeping of migrations.

-- Two processes that migrate at once take turns; the lock ends with the session.
-- name: take_turn
SELECT pg_advisory_lock(hashtext('penstock migration'));

-- name: end_turn
SELECT pg_advisory_unlock(hashtext('penstock migration'));

-- name: create_bookkeeping
CREATE TABLE IF NOT EXISTS schema_version (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT coalesce(max(version), 0) FROM schema_version;

-- name: record
INSERT INTO schema_version (version, name) VALUES (%(version)b, %(name)b);
