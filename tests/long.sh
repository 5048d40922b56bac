#!/usr/bin/env bash
# What takes long: the kill test with 500 kills instead of 50, a real Prometheus for ten minutes instead
# of one, a million messages instead of 20,000, and a simulated day of 100,000 messages instead of 5,000, side by
# side: about twelve minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-500} PUSH_EXPORTER_SCRAPE_MINUTES=${PUSH_EXPORTER_SCRAPE_MINUTES:-10} \
    PUSH_EXPORTER_MESSAGES=${PUSH_EXPORTER_MESSAGES:-1000000} PUSH_EXPORTER_TRACKED=${PUSH_EXPORTER_TRACKED:-100000} \
    tests/run.sh -- killed_fifty_times a_real_prometheus memory_does_not_grow lateness_is_shared
