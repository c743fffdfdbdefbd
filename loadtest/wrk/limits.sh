#!/bin/sh
# What a limit lets through: TIER=gold wrk/limits.sh [URL] [CONNECTIONS] [DURATION]
set -eu
here="$(dirname "$0")"
url="${1:-http://127.0.0.1:8080/}"
exec wrk --threads 1 --connections "${2:-16}" --duration "${3:-5s}" --script "$here/limits.lua" "$url"
