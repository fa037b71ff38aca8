-- The login at the primary that the sync worker needs, and no more: it reads five tables.
--
-- For the tables' owner, who may make roles, to run at the primary, as often as you like:
--     psql -v ON_ERROR_STOP=1 -f grants.sql
-- Then give it a password (psql: \password presence_reader), and the worker DB_PRIMARY_USER=presence_reader.
-- To take it back:   DROP OWNED BY presence_reader; DROP ROLE presence_reader;

DO $$
DECLARE
  name text;
BEGIN
  IF to_regrole('presence_reader') IS NULL THEN
    CREATE ROLE presence_reader;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO presence_reader', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO presence_reader', current_schema());
  FOREACH name IN ARRAY ARRAY[
    'posts', 'collaboration_documents', 'collaboration_permissions', 'presence_permissions', 'presence_events']
  LOOP
    IF to_regclass(name) IS NOT NULL THEN
      EXECUTE format('GRANT SELECT ON %I TO presence_reader', name);
    END IF;
  END LOOP;
END $$;

-- Ten connections: two cycles, the notices, commands, and a second worker.
ALTER ROLE presence_reader LOGIN CONNECTION LIMIT 10;
ALTER ROLE presence_reader SET default_transaction_read_only = on;
ALTER ROLE presence_reader SET statement_timeout = '30s';
ALTER ROLE presence_reader SET idle_in_transaction_session_timeout = '60s';
