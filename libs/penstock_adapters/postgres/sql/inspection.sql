-- Looking at a server and a database without changing anything.

-- name: server
SELECT current_setting('server_version_num')::bigint,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::bigint
        - current_setting('superuser_reserved_connections')::bigint,
    (SELECT count(*) FROM pg_stat_get_wal_senders()),
    pg_is_in_recovery();

-- name: settings
SELECT name, setting FROM pg_settings WHERE name = ANY (%(names)b::text[]);

-- name: applied
SELECT coalesce(max(version), 0) FROM schema_version;

-- name: applied_artifacts
SELECT coalesce(max(version), 0) FROM artifacts_schema_version;

-- name: rights
SELECT privilege
FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'MAINTAIN']) AS p (privilege)
WHERE to_regclass(%(table)b::text) IS NOT NULL
    AND has_table_privilege(to_regclass(%(table)b::text), privilege);

-- The letter says when it fires: O ordinarily, A always, R on a replica only, D never.
-- name: trigger
SELECT tgenabled::text
FROM pg_trigger
WHERE tgrelid = to_regclass('stored_events') AND tgname = 'append_only';

-- name: leases
SELECT partition, owner, epoch, n, chain_head,
    extract(epoch FROM lease_ends - clock_timestamp())::double precision
FROM partitions
ORDER BY partition;

-- name: seen
SELECT partition, n FROM seen;

-- name: tenants
WITH RECURSIVE every (tenant) AS (
    (SELECT tenant FROM views ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT v.tenant FROM views AS v WHERE v.tenant > every.tenant ORDER BY v.tenant LIMIT 1)
    FROM every
    WHERE every.tenant IS NOT NULL
)
SELECT tenant FROM every WHERE tenant IS NOT NULL LIMIT 1000;
