#!/bin/sh
# Many hosts and paths: HOSTS=1000 PATHS=100 wrk/hosts.sh [URL] [CONNECTIONS] [DURATION]
set -eu
here="$(dirname "$0")"
url="${1:-http://127.0.0.1:8080/}"
exec wrk --threads 1 --connections "${2:-64}" --duration "${3:-10s}" --latency \
    --script "$here/hosts.lua" "$url"
