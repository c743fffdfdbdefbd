#!/bin/sh
# A fixed rate, with latencies counted from when a request was due: RATE=5000 oha/rate.sh [URL]
# [CONNECTIONS] [DURATION]
set -eu
exec oha --no-tui -q "${RATE:-5000}" --latency-correction -c "${2:-64}" -z "${3:-10s}" \
    "${1:-http://127.0.0.1:8080/}"
