#!/bin/sh
# Keep-alive GETs: oha/get.sh [URL] [CONNECTIONS] [DURATION]
set -eu
exec oha --no-tui -c "${2:-64}" -z "${3:-10s}" "${1:-http://127.0.0.1:8080/}"
