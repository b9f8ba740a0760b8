-- The tables beside the event table, which the recorder creates before this runs.

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

CREATE TABLE open_aggregates (
    partition text COLLATE "C" NOT NULL,
    aggregate_id uuid NOT NULL,
    due_us bigint NOT NULL,
    PRIMARY KEY (partition, aggregate_id)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000
);

CREATE INDEX open_aggregates_due_idx ON open_aggregates (partition, due_us);

-- Inside a partition n and notification_id ascend together, one event taking at least one id.
-- So the first id behind event `behind` is found by bisection over the index on (partition,
-- notification_id), and each probe moves its bound by as many ids as events lie between: where
-- ids are dense it is done in one or two steps. An index over n would cost every event bytes.
CREATE FUNCTION position_behind(wanted text, behind bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = public
AS $$
DECLARE
    low bigint := behind + 1;
    high bigint;
    middle bigint;
    probe record;
BEGIN
    SELECT e.notification_id AS id, e.n, e.partition = wanted AS found INTO probe
    FROM stored_events AS e
    WHERE e.partition IS NOT NULL
        AND (e.partition, e.notification_id) <= (wanted, 9223372036854775807)
    ORDER BY e.partition DESC, e.notification_id DESC
    LIMIT 1;
    IF probe.found IS NOT TRUE OR probe.n <= behind THEN
        RETURN 9223372036854775807;
    END IF;
    high := probe.id + behind + 1 - probe.n;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT e.notification_id AS id, e.n INTO probe
        FROM stored_events AS e
        WHERE e.partition IS NOT NULL
            AND (e.partition, e.notification_id) >= (wanted, middle)
            AND (e.partition, e.notification_id) <= (wanted, 9223372036854775807)
        ORDER BY e.partition, e.notification_id
        LIMIT 1;
        IF probe.n <= behind THEN
            low := probe.id + behind - probe.n + 1;
        ELSE
            high := least(middle, probe.id + behind + 1 - probe.n);
        END IF;
    END LOOP;
    RETURN low;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'stored_events is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Also where replication or a restore has switched ordinary triggers off.
ALTER TABLE stored_events ENABLE ALWAYS TRIGGER append_only;
