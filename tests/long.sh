#!/usr/bin/env bash
# What takes long: the kill tests with 500 kills and 100 in a storm instead of 50 and 10, twenty stormy weeks instead
# of one, a real Prometheus for ten minutes instead of one, a million messages instead of 20,000, a simulated day of
# 100,000 messages instead of 5,000, 100,000 messages that pass through instead of 10,000, all attacks on the web
# server instead of a tenth, 10,000 messages a day instead of 300, callbacks of JPush for a minute instead of four seconds, rate limits for a day instead of six hours, side by side: about twenty minutes. Then alerts in
# their own time, not sixty times faster: an hour. Then the image and the Debian package, built and started: half an
# hour, for root. Then the small changes to the source that tests must notice: an hour. Fuzzing is apart:
# fuzz/run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
# What a test prints are its figures.
export NEXTEST_SUCCESS_OUTPUT=final
PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-500} PUSH_EXPORTER_SCRAPE_MINUTES=${PUSH_EXPORTER_SCRAPE_MINUTES:-10} \
    PUSH_EXPORTER_MESSAGES=${PUSH_EXPORTER_MESSAGES:-1000000} PUSH_EXPORTER_TRACKED=${PUSH_EXPORTER_TRACKED:-100000} \
    PUSH_EXPORTER_PASSING=${PUSH_EXPORTER_PASSING:-100} PUSH_EXPORTER_STORMS=${PUSH_EXPORTER_STORMS:-20} \
    PUSH_EXPORTER_ATTACKS=${PUSH_EXPORTER_ATTACKS:-1} PUSH_EXPORTER_A_DAY=${PUSH_EXPORTER_A_DAY:-10000} \
    PUSH_EXPORTER_CALLBACKS=${PUSH_EXPORTER_CALLBACKS:-60} PUSH_EXPORTER_LIMIT_HOURS=${PUSH_EXPORTER_LIMIT_HOURS:-24} \
    tests/run.sh -- killed_ after_a_storm a_real_prometheus memory_does_not_grow lateness_is_shared three_days_leave \
    none_of_them_keeps_a_scrape a_day_of_messages no_limit_is_passed refuse_nothing_either after_a_storm_and_a_kill
# By itself, since nextest ends what takes longer than a quarter of an hour.
ALERTS_SPEED=${ALERTS_SPEED:-1} cargo test --locked --test programs -- --nocapture fire_when_something_is_wrong
# A hundred failovers in front of a real Prometheus, half an hour; replicas that share a thousand apps.
PUSH_EXPORTER_FAILOVERS=${PUSH_EXPORTER_FAILOVERS:-100} cargo test --locked --test programs -- --nocapture no_counter_falls
PUSH_EXPORTER_FLEET=${PUSH_EXPORTER_FLEET:-1000} cargo test --locked --test programs -- --nocapture many_apps_are_spread
# A month of history, as scraped and as written.
PUSH_EXPORTER_HISTORY=${PUSH_EXPORTER_HISTORY:-31} cargo test --locked --test programs -- --nocapture a_written_history
# A year of history of 50 apps, within the providers' rate limits.
PUSH_EXPORTER_BACKFILL_APPS=${PUSH_EXPORTER_BACKFILL_APPS:-50} PUSH_EXPORTER_BACKFILL_DAYS=${PUSH_EXPORTER_BACKFILL_DAYS:-365} \
    PUSH_EXPORTER_BACKFILL_STEP=${PUSH_EXPORTER_BACKFILL_STEP:-1h} \
    cargo test --locked --test programs -- --nocapture figures_of_a_history
# Kills, storms and a month of messages on PostgreSQL.
PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-500} PUSH_EXPORTER_STORMS=1 \
    tests/postgres.sh -E 'test(kills) | test(after_a_storm) | test(messages::simulated_month)'
tests/container/build.sh
tests/package/deb.sh
tests/mutants/run.sh
