#!/bin/sh
# Fills in the passwords, secrets and keys that are empty in .env beside this file; what is there stays. The primary's
# password is not ours to make.
set -eu
umask 077
cd "$(dirname "$0")"
while IFS= read -r line; do
  case $line in
    DB_PRIMARY_PASSWORD=) printf '%s\n' "$line" ;;
    PRESENCE_SECRET_KEY=) printf '%s%s\n' "$line" "$(openssl rand -base64 32)" ;;
    [A-Z]*_PASSWORD= | [A-Z]*_SECRET=) printf '%s%s\n' "$line" "$(openssl rand -hex 24)" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <.env >.env.new
mv .env.new .env
