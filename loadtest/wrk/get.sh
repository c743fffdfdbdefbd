#!/bin/sh
# Keep-alive GETs with latencies: wrk/get.sh [URL] [CONNECTIONS] [DURATION]
set -eu
url="${1:-http://127.0.0.1:8080/}"
exec wrk --threads 1 --connections "${2:-64}" --duration "${3:-10s}" --latency "$url"
