-- Content of artifacts in pieces, and which copy of it is the one that counts.

CREATE TABLE artifact_copies (
    copy bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE artifact_chunks (
    copy bigint NOT NULL REFERENCES artifact_copies,
    place integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (copy, place)
);

-- What agents leave is mostly packed already, and trying costs more than the disk it would save.
ALTER TABLE artifact_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

-- A row stays when its content is pruned: then `copy` is null, and readers are told so.
CREATE TABLE artifacts (
    tenant text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    copy bigint REFERENCES artifact_copies,
    size bigint NOT NULL,
    chunks integer NOT NULL,
    stored timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, digest)
);

CREATE UNIQUE INDEX artifacts_copy_idx ON artifacts (copy);
CREATE INDEX artifacts_stored_idx ON artifacts (stored) WHERE copy IS NOT NULL;

-- Content never changes: it is put, and it is pruned.
CREATE FUNCTION refuse_other_content() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'content of artifacts never changes: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER content_stays
BEFORE UPDATE OR TRUNCATE ON artifact_chunks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_content();
