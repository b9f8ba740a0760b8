-- Writing and reading the event table.

-- Columns of fixed width stand first: in the library's order padding costs an event 10 bytes.
-- name: create_table
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    notification_id bigserial,
    n bigint,
    partition text COLLATE "C",
    topic text,
    state bytea,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);

-- Both indexes only ever grow at their right end: full pages are never split again.
-- name: create_notification_index
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id_idx
ON stored_events (notification_id) WITH (fillfactor = 100);

-- name: create_partition_index
CREATE INDEX IF NOT EXISTS stored_events_partition_idx
ON stored_events (partition, notification_id) WITH (fillfactor = 100)
WHERE partition IS NOT NULL;

-- name: lock
LOCK TABLE stored_events IN EXCLUSIVE MODE;

-- name: notify
NOTIFY stored_events;

-- name: insert
INSERT INTO stored_events (originator_id, originator_version, topic, state)
SELECT originator_id, originator_version, topic, state
FROM unnest(%(ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[], %(states)b::bytea[])
    AS e (originator_id, originator_version, topic, state)
RETURNING notification_id;

-- Ids come as uuids and not as text: a cast stands in the plan where the list is looked at, which
-- may be every row. What is closed is a table and not a list for the same reason: the plan was made
-- when few were open and outlives that; however many are open, this way it reads each of them once.

-- The fence decides first: the rest happens only if the row was as the owner believes it.
-- A commit shows that the owner lives. Others see the prolonged lease only when it is done, so that
-- meanwhile the lease may look ended; but nobody gets the row before. What was let go stays so.
-- name: commit
WITH fence AS (
    UPDATE partitions
    SET commit_number = commit_number + 1,
        n = %(n)b,
        chain_head = %(chain_head)b,
        positions = %(positions)b::jsonb,
        lease_ends = CASE
            WHEN lease_ends = to_timestamp(0) THEN lease_ends
            ELSE greatest(lease_ends, clock_timestamp() + make_interval(secs => %(lease_s)b))
        END
    WHERE partition = %(partition)b
        AND epoch = %(epoch)b
        AND commit_number = %(commit_number)b
        AND n = %(before)b
    RETURNING partition
),
stored AS (
    INSERT INTO stored_events
        (originator_id, originator_version, topic, state, partition, n)
    SELECT originator_id, originator_version, topic, state, %(partition)b, %(before)b + place
    FROM unnest(%(ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[], %(states)b::bytea[])
        WITH ORDINALITY AS e (originator_id, originator_version, topic, state, place)
    WHERE EXISTS (SELECT FROM fence)
    RETURNING notification_id
),
opened AS (
    INSERT INTO open_aggregates AS o (partition, aggregate_id, due_us)
    SELECT %(partition)b, aggregate_id, due_us
    FROM unnest(%(opened)b::uuid[], %(due_us)b::bigint[]) AS a (aggregate_id, due_us)
    WHERE EXISTS (SELECT FROM fence)
    ON CONFLICT (partition, aggregate_id) DO UPDATE
    SET due_us = excluded.due_us
    WHERE o.due_us <> excluded.due_us
),
closed AS (
    DELETE FROM open_aggregates
    WHERE partition = %(partition)b
        AND aggregate_id IN (SELECT unnest(%(closed)b::uuid[]))
        AND EXISTS (SELECT FROM fence)
)
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT notification_id FROM stored);

-- name: load
SELECT originator_id::text, originator_version, topic, state,
    coalesce(partition, ''), coalesce(n, 0), notification_id
FROM stored_events
WHERE originator_id = ANY (%(ids)b::uuid[])
ORDER BY originator_id, originator_version;

-- A partition is read by a range of pairs, never by `partition = x ... ORDER BY notification_id`:
-- for the latter the planner likes to walk the index on notification_id alone, and passes over
-- every other partition's events on its way.

-- name: after
SELECT originator_id::text, originator_version, topic, state, partition, n, notification_id
FROM stored_events
WHERE partition IS NOT NULL
    AND (partition, notification_id)
        >= (%(partition)b, (SELECT position_behind(%(partition)b, %(n)b)))
    AND (partition, notification_id) <= (%(partition)b, 9223372036854775807)
ORDER BY partition, notification_id
LIMIT %(limit)b;

-- name: of_topics
SELECT originator_id::text, originator_version, topic, state, partition, n, notification_id
FROM stored_events
WHERE partition IS NOT NULL
    AND (partition, notification_id)
        >= (%(partition)b, (SELECT position_behind(%(partition)b, %(n)b)))
    AND (partition, notification_id) <= (%(partition)b, 9223372036854775807)
    AND topic = ANY (%(topics)b::text[])
ORDER BY partition, notification_id
LIMIT %(limit)b;

-- For the auditor, who reads a partition from end to end in one snapshot.
-- name: behind_position
SELECT originator_id::text, originator_version, topic, state, partition, n, notification_id
FROM stored_events
WHERE partition IS NOT NULL
    AND (partition, notification_id) > (%(partition)b, %(position)b)
    AND (partition, notification_id) <= (%(partition)b, 9223372036854775807)
ORDER BY partition, notification_id
LIMIT %(limit)b;

-- name: due
SELECT aggregate_id::text, due_us
FROM open_aggregates
WHERE partition = %(partition)b AND due_us <= %(now_us)b
ORDER BY due_us, aggregate_id
LIMIT %(limit)b;

-- name: next_due
SELECT min(due_us) FROM open_aggregates WHERE partition = %(partition)b;

-- name: open_after
SELECT aggregate_id::text, due_us
FROM open_aggregates
WHERE partition = %(partition)b AND aggregate_id > %(after_id)b::uuid
ORDER BY aggregate_id
LIMIT %(limit)b;

-- For gauges: beyond the bound the exact number tells nothing more.
-- name: open_counts
SELECT partition, count(*)
FROM (SELECT partition FROM open_aggregates LIMIT 1000000) AS counted
GROUP BY partition;

-- name: database_bytes
SELECT pg_database_size(current_database());
