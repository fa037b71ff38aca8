-- Has the primary say at once that a table changed, for workers with PRESENCE_PRIMARY_NOTIFY=true.
--
-- For the tables' owner to run at the primary, as often as you like:   psql -v ON_ERROR_STOP=1 -f notify.sql
-- To take it back:   DROP FUNCTION presence_notify() CASCADE;
--
-- A notice names the table and no row. Votes and other counters of posts make none: each notice waits at its commit for
-- those of other transactions. What a trigger of yours hides or flags by itself makes none either; polling finds it.

BEGIN;

CREATE OR REPLACE FUNCTION presence_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('presence_changed', TG_TABLE_NAME);
  RETURN NULL;
END $$;

DO $$
DECLARE
  name text;
  change text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'posts', 'collaboration_documents', 'collaboration_permissions', 'presence_permissions', 'presence_events']
  LOOP
    CONTINUE WHEN to_regclass(name) IS NULL;
    change := CASE name WHEN 'posts' THEN 'UPDATE OF hidden, flagged' ELSE 'UPDATE' END;
    EXECUTE format('DROP TRIGGER IF EXISTS presence_notify ON %I', name);
    EXECUTE format('CREATE TRIGGER presence_notify AFTER INSERT OR %s OR DELETE OR TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION presence_notify()', change, name);
  END LOOP;
END $$;

COMMIT;
