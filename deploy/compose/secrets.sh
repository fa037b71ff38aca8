#!/bin/sh
# Fills in the passwords, secrets and keys that are empty in .env at the root of the project, and says which; what is
# there stays. Makes .env of .env.example where there is none. The primary's password is not ours to make.
set -eu
umask 077
cd "$(dirname "$0")/../.."
[ -e .env ] || { cp .env.example .env && echo "made .env of .env.example"; }
made=
while IFS= read -r line; do
  case $line in
    DB_PRIMARY_PASSWORD=) value= ;;
    PRESENCE_SECRET_KEY=) value=$(openssl rand -base64 32) ;;
    [A-Z]*_PASSWORD= | [A-Z]*_SECRET=) value=$(openssl rand -hex 24) ;;
    *) value= ;;
  esac
  printf '%s%s\n' "$line" "$value" >&3
  [ -z "$value" ] || made="$made ${line%=}"
done <.env 3>.env.new
mv .env.new .env
for name in $made; do echo "made $name"; done
[ -n "$made" ] || echo "nothing was missing"
