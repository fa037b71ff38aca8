-- What makes a restored database go on from where its clients are. It runs in the restored database before that takes
-- its name; `former_counters` is a table of space_counters as they are in the database that it takes the place of, and
-- empty where there is none.

-- Numbers of a space only rise. Clients hold some of after the backup, so all numbers jump beyond them, as many at once
-- as a space takes in ten weeks of 10,000 a minute: whoever comes back with an older number is told of a gap.
INSERT INTO public.space_counters AS floor (space_type, space_id, seq)
SELECT '', '', coalesce(max(seq), 0) + 1000000000
FROM (SELECT seq FROM public.space_counters UNION ALL SELECT seq FROM former_counters) AS counters
ON CONFLICT (space_type, space_id) DO UPDATE SET seq = excluded.seq, used_at = now();

UPDATE public.space_counters AS restored SET seq = greatest(seq, (
  SELECT former.seq FROM former_counters AS former
  WHERE (former.space_type, former.space_id) = (restored.space_type, restored.space_id)
)) + 1000000000
WHERE (space_type, space_id) <> ('', '');

-- Bans and roles of after the backup are gone, so every admission is asked about again: sync_worker raises the access
-- epochs that are owed. Redis keeps an epoch for six hours, so spaces that were quiet for longer have none.
INSERT INTO public.sync_state AS state (table_name, watermark)
SELECT 'access_epochs', jsonb_build_object('spaces', coalesce(jsonb_agg(space), '[]'))
FROM (
  SELECT space_type || ':' || space_id AS space FROM former_counters
  WHERE used_at > now() - interval '7 hours' AND space_type <> ''
  UNION
  SELECT space_type || ':' || space_id FROM public.space_counters
  WHERE used_at > (SELECT max(used_at) FROM public.space_counters WHERE space_type <> '') - interval '7 hours'
    AND space_type <> ''
) AS used
ON CONFLICT (table_name) DO UPDATE SET updated_at = now(),
  watermark = jsonb_build_object('spaces', coalesce(state.watermark -> 'spaces', '[]') || (excluded.watermark -> 'spaces'));

-- The next cycle reads every table of the primary from its beginning. Until then the replica is not current.
UPDATE public.sync_state SET watermark = NULL, position = NULL, last_run_at = NULL, confirmed_deletes = NULL
WHERE table_name IN ('posts', 'collaboration_documents', 'collaboration_permissions', 'presence_permissions');
