-- The three roles and the database, for psql as the superuser; harmless to run again.
--
-- `manage.py up` and the tests run it on their embedded server at every start; docker-compose mounts it at
-- /docker-entrypoint-initdb.d/roles.sql. Both hand the passwords over in the environment (\getenv: psql 15).
--   postgres          superuser: makes the other two, serves nobody
--   convalloc_owner   owns the database and the tables: `manage.py migrate` and nothing else
--   convalloc_app     the API and Celery: owns nothing, and row level security binds it
\set ON_ERROR_STOP on
\getenv owner_password CONVALLOC_OWNER_PASSWORD
\getenv app_password CONVALLOC_APP_PASSWORD

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['convalloc_owner', 'convalloc_app']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE convalloc_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'owner_password';
ALTER ROLE convalloc_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'app_password';

-- No request may wait for ever: a lock is held for milliseconds. A worker that is stopped in mid-transaction hides its
-- rows from everybody; it loses them before those who wait for a lock give up.
ALTER ROLE convalloc_app SET lock_timeout = '5s';
ALTER ROLE convalloc_app SET statement_timeout = '30s';
ALTER ROLE convalloc_app SET idle_in_transaction_session_timeout = '4s';

-- A failing statement, and the row that it failed at, hold customers' numbers. The API's own log has the error, with its masks.
ALTER ROLE convalloc_app SET log_min_error_statement = 'panic';
ALTER ROLE convalloc_app SET log_error_verbosity = 'terse';

SELECT 'CREATE DATABASE convalloc OWNER convalloc_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'convalloc') \gexec

REVOKE ALL ON DATABASE convalloc FROM PUBLIC;
GRANT CONNECT ON DATABASE convalloc TO convalloc_app;
