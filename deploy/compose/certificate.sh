#!/bin/sh
# Copies the domain's certificate and key out of all that Caddy keeps, to where coturn alone reads them; again every hour,
# since Caddy renews them.
set -eu
while true; do
  for certificate in /caddy/caddy/certificates/*/"$PRESENCE_DOMAIN"/"$PRESENCE_DOMAIN".crt; do
    if [ -f "$certificate" ]; then
      cp "${certificate%.crt}.key" /certificate/key.new
      cp "$certificate" /certificate/certificate.new
      chmod 444 /certificate/key.new /certificate/certificate.new # coturn is another user; nobody else has the volume
      mv /certificate/key.new /certificate/key
      mv /certificate/certificate.new /certificate/certificate
      break
    fi
  done
  sleep 3600 &
  wait $!
done
