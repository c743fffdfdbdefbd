#!/bin/sh
# What a limit lets through: look at the status codes. oha/limits.sh [URL] [CONNECTIONS] [DURATION]
set -eu
exec oha --no-tui -c "${2:-16}" -z "${3:-5s}" ${TIER:+-H "x-tier: $TIER"} \
    "${1:-http://127.0.0.1:8080/}"
