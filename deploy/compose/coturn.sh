#!/bin/sh
# Starts coturn with what is not in turnserver.conf: the secret (in a file, since a command line is visible to every user
# of the host), the realm, and the domain's certificate once there is one. Without it TURN over TLS (5349) stays closed.
set -eu
configuration=/tmp/turnserver.conf
(umask 077 && : >"$configuration")
{
  cat /etc/coturn/turnserver.conf
  echo "static-auth-secret=$TURN_SECRET"
  echo "realm=$PRESENCE_DOMAIN"
  if [ -f /certificate/certificate ]; then
    echo "cert=/certificate/certificate"
    echo "pkey=/certificate/key"
  fi
} >"$configuration"
# shellcheck disable=SC2086 - several options in one variable
exec turnserver -c "$configuration" ${TURN_OPTIONS:-}
