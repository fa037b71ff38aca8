#!/bin/sh
# Lies before PostgreSQL's own pg_restore in db_replica, so that a line of the first README does what it says:
#
#   docker compose exec db_replica pg_restore -U replica_user backup.sql
#
# With a login and one file it restores into a new database, compares what is there with the manifest beside the file, and
# only then gives it the name of the live one, which is kept under another. With anything else it is pg_restore itself.
# `docker compose run --rm restore FILE` does more: it takes older schemas, and has access asked about again at once.
set -eu

set_aside() { # what came after -U is a login; with any other option the call is not ours
  login='' file=''
  while [ $# -gt 0 ]; do
    case $1 in
      -U | --username) [ $# -gt 1 ] || return 1; login=$2; shift ;;
      -U?*) login=${1#-U} ;;
      --username=?*) login=${1#--username=} ;;
      -*) return 1 ;;
      *) [ -z "$file" ] || return 1; file=$1 ;;
    esac
    shift
  done
  [ -n "$login" ] && [ -n "$file" ]
}

original=$(find /usr/lib/postgresql/"${PG_MAJOR:-}"* -name pg_restore -path '*/bin/*' | sort -V | tail -n 1)
set_aside "$@" || exec "$original" "$@"

live=${POSTGRES_DB:-dlux_presence}
continuation=${PRESENCE_CONTINUATION:-/usr/local/share/presence/continuation.sql}
stamp=$(date -u +%Y%m%dt%H%M%Sz)
new=${live}_restoring_$stamp
kept=${live}_before_$stamp
manifest=${file%.*}.json

refuse() {
  echo "Nothing was restored. $*" >&2
  exit 1
}

sql() { # in the database $1; the rest is psql's
  database=$1
  shift
  psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --username "$login" --dbname "$database" "$@"
}

ending=''
tidy() {
  [ -z "$ending" ] || kill "$ending" 2>/dev/null || true
  sql postgres --command "SET client_min_messages = error" --command "DROP DATABASE IF EXISTS \"$new\" WITH (FORCE)"
}

[ -r "$file" ] || refuse "$file cannot be read."
if [ -f "$manifest" ]; then
  expected=$(sed -n 's/^ *"sha256": "\([0-9a-f]\{64\}\)".*/\1/p' "$manifest" | head -n 1)
  [ "$(sha256sum "$file" | cut -d ' ' -f 1)" = "$expected" ] ||
    refuse "$file has changed since it was made: its SHA-256 is not that of its manifest."
else
  echo "$file has no manifest: nothing but pg_restore itself says whether it is whole."
fi

trap tidy EXIT
sql postgres --set live="$live" --set new="$new" <<'SQL'
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L',
  :'new', 'UTF8', datcollate, datctype) FROM pg_database WHERE datname = :'live' \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'new') FROM pg_database
WHERE datname = :'live' AND datacl IS NOT NULL \gexec
SELECT format('GRANT %s ON DATABASE %I TO %s', privilege_type, :'new',
  CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
FROM pg_database, aclexplode(datacl) WHERE datname = :'live' \gexec
SQL
"$original" --username "$login" --dbname "$new" --exit-on-error "$file" || refuse "pg_restore failed."

schema="SELECT version_num FROM alembic_version"
[ "$(sql "$new" --command "$schema")" = "$(sql "$live" --command "$schema")" ] ||
  refuse "Its schema is not the live one's: docker compose run --rm restore $file"

if [ -f "$manifest" ]; then
  differing=$(sql "$new" --set manifest="$(cat "$manifest")" <<'SQL'
WITH expected AS (SELECT key, value::bigint FROM json_each_text(:'manifest'::json -> 'rows')), found AS (
  SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS key,
    (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', nspname, relname), false, true, '')))
      [1]::text::bigint AS value
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema'))
SELECT string_agg(key, ', ' ORDER BY key) FROM expected FULL JOIN found USING (key)
WHERE expected.value IS DISTINCT FROM found.value
SQL
  )
  [ -z "$differing" ] || refuse "What was restored is not what the manifest says, in $differing."
fi

{
  echo "BEGIN; CREATE TEMPORARY TABLE former_counters"
  echo "(space_type text, space_id text, seq bigint, used_at timestamptz, PRIMARY KEY (space_type, space_id));"
  echo "COPY former_counters FROM STDIN;"
  sql "$live" --command "COPY (SELECT space_type, space_id, seq, used_at FROM space_counters) TO STDOUT"
  echo '\.'
  cat "$continuation"
  echo "DROP TABLE former_counters; COMMIT; ANALYZE;"
} | sql "$new" --file -

# The renaming waits until nobody is in the live database, and keeps out whoever wants to come back meanwhile.
while true; do
  sql postgres --command "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '$live'"
  sleep 0.2
done >/dev/null &
ending=$!
sql postgres --single-transaction --command "ALTER DATABASE \"$live\" RENAME TO \"$kept\"" \
  --command "ALTER DATABASE \"$new\" RENAME TO \"$live\"" || refuse "Sessions in $live could not be ended."

echo "Restored $file. The database before it is kept as $kept; drop it when it is of no more use."
echo "Now: docker compose restart realtime-r1 realtime-r2, so that whoever is inside is told of the gap."
