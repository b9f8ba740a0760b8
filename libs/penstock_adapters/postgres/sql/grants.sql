-- What each role may do. {service} and {auditor} are role names; repeated at every migration.

-- name: ledger
GRANT SELECT, INSERT, MAINTAIN ON stored_events TO {service};
GRANT USAGE ON SEQUENCE stored_events_notification_id_seq TO {service};
GRANT SELECT, INSERT, UPDATE, DELETE ON open_aggregates TO {service};
GRANT SELECT, INSERT, UPDATE ON partitions TO {service};
GRANT SELECT, INSERT, UPDATE, DELETE ON instances TO {service};
GRANT SELECT ON schema_version TO {service};
GRANT SELECT ON stored_events, open_aggregates, partitions, instances, schema_version
TO {auditor};

-- name: projection
GRANT SELECT, INSERT, UPDATE ON partitions TO {service};
GRANT SELECT, INSERT, UPDATE, TRUNCATE ON seen TO {service};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON views TO {service};
GRANT SELECT ON schema_version TO {service};
GRANT SELECT ON views, seen, partitions, schema_version TO {auditor};

-- name: artifacts
GRANT SELECT, INSERT, DELETE ON artifact_copies, artifact_chunks TO {service};
GRANT SELECT, INSERT, UPDATE ON artifacts TO {service};
GRANT SELECT ON artifacts_schema_version TO {service};
GRANT SELECT ON artifacts, artifact_copies, artifact_chunks, artifacts_schema_version TO {auditor};
