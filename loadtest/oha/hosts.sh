#!/bin/sh
# Many paths on one host, made up by oha from a pattern: oha/hosts.sh [HOST] [URL] [CONNECTIONS]
# [DURATION]. For many hosts in one run use wrk/hosts.sh.
set -eu
url="${2:-http://127.0.0.1:8080}"
exec oha --no-tui -c "${3:-64}" -z "${4:-10s}" --host "${1:-h0001.example.com}" --rand-regex-url \
    "$(printf '%s' "$url" | sed 's/[.]/[.]/g')/service/p0[0-9]{2}/items"
