#!/usr/bin/env bash
# What takes long: the kill test with 500 kills instead of 50, and a real Prometheus for ten minutes
# instead of one, side by side: about eleven minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-500} PUSH_EXPORTER_SCRAPE_MINUTES=${PUSH_EXPORTER_SCRAPE_MINUTES:-10} \
    tests/run.sh -- killed_fifty_times a_real_prometheus
