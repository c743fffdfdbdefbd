#!/bin/sh
# POSTs with a body of SIZE bytes: SIZE=16384 oha/post.sh [URL] [CONNECTIONS] [DURATION]
set -eu
body="$(mktemp)"
trap 'rm -f "$body"' EXIT
head -c "${SIZE:-16384}" /dev/zero | tr '\0' 'x' >"$body"
oha --no-tui -m POST -D "$body" -T application/json -c "${2:-64}" -z "${3:-10s}" \
    "${1:-http://127.0.0.1:8080/}"
