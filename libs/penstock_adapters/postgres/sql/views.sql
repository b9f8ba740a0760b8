-- Writing and reading the read model.

-- The fence decides first: the rest happens only if the row was as the owner believes it.
-- name: commit
WITH fence AS (
    UPDATE partitions
    SET commit_number = commit_number + 1, positions = %(positions)b::jsonb
    WHERE partition = %(partition)b
        AND epoch = %(epoch)b
        AND commit_number = %(commit_number)b
    RETURNING partition
),
marked AS (
    INSERT INTO seen (partition, n)
    SELECT partition, n
    FROM unnest(%(seen_partitions)b::text[], %(seen_n)b::bigint[]) AS s (partition, n)
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (partition) DO UPDATE SET n = excluded.n
),
deleted AS (
    DELETE FROM views AS v
    USING unnest(
        %(deleted_kinds)b::text[], %(deleted_tenants)b::text[], %(deleted_ids)b::text[]
    ) AS d (kind, tenant, id)
    WHERE v.tenant = d.tenant
        AND v.kind = d.kind
        AND v.id = d.id
        AND EXISTS (SELECT FROM fence)
),
upserted AS (
    INSERT INTO views (kind, tenant, id, parent, sort_key, state, group_name, body)
    SELECT kind, tenant, id, parent, sort_key, state, group_name, body::json
    FROM unnest(
        %(kinds)b::text[],
        %(tenants)b::text[],
        %(ids)b::text[],
        %(parents)b::text[],
        %(sort_keys)b::bigint[],
        %(states)b::text[],
        %(groups)b::text[],
        %(bodies)b::text[]
    ) AS u (kind, tenant, id, parent, sort_key, state, group_name, body)
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (tenant, kind, id) DO UPDATE
    SET parent = excluded.parent,
        sort_key = excluded.sort_key,
        state = excluded.state,
        group_name = excluded.group_name,
        body = excluded.body
)
SELECT EXISTS (SELECT FROM fence);

-- name: reset
UPDATE partitions
SET commit_number = commit_number + 1, positions = '{}'
WHERE partition = %(partition)b AND epoch = %(epoch)b
RETURNING partition, owner, epoch, commit_number, n, chain_head, positions::text;

-- name: clear
TRUNCATE views, seen;

-- name: seen
SELECT partition, n FROM seen;

-- name: get
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE tenant = %(tenant)b AND kind = %(kind)b AND id = ANY (%(ids)b::text[]);

-- Lists read a range of one index and order by all its columns, so that no other index serves:
-- the planner else likes to walk a longer one and to pass over what it does not want.

-- name: children
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE parent <> ''
    AND (tenant, kind, parent, sort_key, id)
        >= (%(tenant)b, %(kind)b, %(parent)b, '-9223372036854775808'::bigint, '')
    AND (tenant, kind, parent, sort_key) <= (%(tenant)b, %(kind)b, %(parent)b, 9223372036854775807)
ORDER BY tenant, kind, parent, sort_key, id
LIMIT %(limit)b;

-- name: page
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE (tenant, kind, sort_key, id) < (%(tenant)b, %(kind)b, %(before_key)b, %(before_id)b)
    AND (tenant, kind, sort_key, id) >= (%(tenant)b, %(kind)b, '-9223372036854775808'::bigint, '')
ORDER BY tenant DESC, kind DESC, sort_key DESC, id DESC
LIMIT %(limit)b;

-- name: page_by_state
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE state <> ''
    AND (tenant, kind, state, sort_key, id)
        < (%(tenant)b, %(kind)b, %(state)b, %(before_key)b, %(before_id)b)
    AND (tenant, kind, state, sort_key, id)
        >= (%(tenant)b, %(kind)b, %(state)b, '-9223372036854775808'::bigint, '')
ORDER BY tenant DESC, kind DESC, state DESC, sort_key DESC, id DESC
LIMIT %(limit)b;

-- name: page_by_group
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE group_name <> ''
    AND (tenant, kind, group_name, sort_key, id)
        < (%(tenant)b, %(kind)b, %(group)b, %(before_key)b, %(before_id)b)
    AND (tenant, kind, group_name, sort_key, id)
        >= (%(tenant)b, %(kind)b, %(group)b, '-9223372036854775808'::bigint, '')
ORDER BY tenant DESC, kind DESC, group_name DESC, sort_key DESC, id DESC
LIMIT %(limit)b;

-- name: page_by_state_and_group
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE group_name <> ''
    AND (tenant, kind, group_name, sort_key, id)
        < (%(tenant)b, %(kind)b, %(group)b, %(before_key)b, %(before_id)b)
    AND (tenant, kind, group_name, sort_key, id)
        >= (%(tenant)b, %(kind)b, %(group)b, '-9223372036854775808'::bigint, '')
    AND state = %(state)b AND state <> ''
ORDER BY tenant DESC, kind DESC, group_name DESC, sort_key DESC, id DESC
LIMIT %(limit)b;

-- `prefix_end` sorts behind every id with the prefix: a range serves where LIKE would need care.
-- name: find_prefix
SELECT kind, tenant, id, parent, sort_key, state, group_name, body::text
FROM views
WHERE tenant = %(tenant)b AND kind = %(kind)b
    AND id >= %(prefix)b AND id < %(prefix_end)b
ORDER BY id
LIMIT %(limit)b;

-- Over all tenants, of which there are few: the server skips from one to the next in the index.
-- name: waiting
SELECT count(*), coalesce(min(sort_key), 0)
FROM views
WHERE kind = %(kind)b AND state = %(state)b AND state <> '';

-- name: database_bytes
SELECT pg_database_size(current_database());
