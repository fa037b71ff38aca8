#!/bin/sh
# Writes the digest of each image beside its version, in compose.yml and in the Dockerfile. One that is there is replaced.
set -eu
cd "$(dirname "$0")"
files="compose.yml Dockerfile"
for image in $(sed -nE 's/^(    image:|FROM) ([^ @]+:[^ @]+)(@sha256:[0-9a-f]+)?( .*)?$/\2/p' $files | sort -u); do
  digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
  sed -i -E "s#^(    image:|FROM) $image(@sha256:[0-9a-f]+)?( .*)?\$#\\1 $image@$digest\\3#" $files
  printf '%s %s\n' "$image" "$digest"
done
