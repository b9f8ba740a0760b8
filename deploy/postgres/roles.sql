-- Databases and roles of one Penstock, for psql 14 or later; safe to run again.
--
-- Run as an administrator (superuser, or CREATEDB and CREATEROLE) on PostgreSQL 17 or later:
--   psql -X -f roles.sql postgresql://admin@host/postgres
-- Each password comes from the environment, as plain text or as a SCRAM verifier:
--   PENSTOCK_AUDITOR_PASSWORD,
--   PENSTOCK_{SCHEDULER,APPROVAL,GATEWAY}_{OWNER,SERVICE}_PASSWORD
-- A role that exists keeps the password it has. Tables and the service's privileges on them come
-- with each service's own migration, which runs as the owner.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
-- A failing statement must not write a password to the log. Only a superuser may set this by
-- default: whoever is none gives verifiers, not passwords.
SELECT 'SET log_min_error_statement = panic'
WHERE has_parameter_privilege(current_user, 'log_min_error_statement', 'SET')
\gexec

\getenv auditor_password PENSTOCK_AUDITOR_PASSWORD
\getenv scheduler_owner_password PENSTOCK_SCHEDULER_OWNER_PASSWORD
\getenv scheduler_service_password PENSTOCK_SCHEDULER_SERVICE_PASSWORD
\getenv approval_owner_password PENSTOCK_APPROVAL_OWNER_PASSWORD
\getenv approval_service_password PENSTOCK_APPROVAL_SERVICE_PASSWORD
\getenv gateway_owner_password PENSTOCK_GATEWAY_OWNER_PASSWORD
\getenv gateway_service_password PENSTOCK_GATEWAY_SERVICE_PASSWORD

SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', name, password)
FROM (VALUES
    ('auditor', :'auditor_password'),
    ('penstock_scheduler_owner', :'scheduler_owner_password'),
    ('penstock_scheduler_service', :'scheduler_service_password'),
    ('penstock_approval_owner', :'approval_owner_password'),
    ('penstock_approval_service', :'approval_service_password'),
    ('penstock_gateway_owner', :'gateway_owner_password'),
    ('penstock_gateway_service', :'gateway_service_password')
) AS wanted (name, password)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- An administrator who is no superuser must be a member of a role to give it a database.
SELECT format('GRANT %I TO CURRENT_USER', rolname)
FROM pg_roles
WHERE rolname LIKE 'penstock\_%\_owner'
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
\gexec

SELECT format('CREATE DATABASE %I OWNER %I', name, name || '_owner')
FROM unnest(ARRAY['penstock_scheduler', 'penstock_approval', 'penstock_gateway']) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec

SELECT format('REVOKE ALL ON DATABASE %1$I FROM PUBLIC; '
              'GRANT CONNECT ON DATABASE %1$I TO %2$I, auditor', name, name || '_service')
FROM unnest(ARRAY['penstock_scheduler', 'penstock_approval', 'penstock_gateway']) AS wanted (name)
\gexec

\connect penstock_scheduler
ALTER SCHEMA public OWNER TO penstock_scheduler_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO penstock_scheduler_service, auditor;

\connect penstock_approval
ALTER SCHEMA public OWNER TO penstock_approval_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO penstock_approval_service, auditor;

\connect penstock_gateway
ALTER SCHEMA public OWNER TO penstock_gateway_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO penstock_gateway_service, auditor;
