#!/usr/bin/env bash
# The tests of the ledger and of messages once more, on a PostgreSQL server of their own in place of SQLite files. Arguments
# are nextest's, such as `throughput --no-capture`. Without them: messages, kills, and a few more.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/needs.sh
source tests/needs.sh
# shellcheck source=tests/postgres-server.sh
source tests/postgres-server.sh

export PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-20}
# Some damage a SQLite file, or have a SQLite ledger that fails on purpose.
of_sqlite='test(without_a_ledger_it_says_so) | test(an_unreadable_watermark) | test(a_file_waits_for_a_ledger) |
    test(an_outage_of_the_ledger) | test(the_newest_messages_are_shown) | test(newest_messages_do_not_stay) | test(a_total_is_not_shown_while)'
[ $# -gt 0 ] || set -- -E "((test(/^messages::/) - test(simulated_month)) | test(/^ledger::kills/) |
    test(/^polling::(first_start|late_data|partial_failures|holds|deliveries_by_hour)::/) | test(test_devices)) - ($of_sqlite)"
cargo nextest run --locked --no-fail-fast --test suite "$@"
