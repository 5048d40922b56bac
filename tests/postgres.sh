#!/usr/bin/env bash
# The tests of the ledger and of messages once more, on a PostgreSQL server of their own in place of SQLite files. Arguments
# are nextest's, such as `throughput --no-capture`. Without them: messages, kills, and a few more.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/needs.sh
source tests/needs.sh
install_needed psql:postgresql-client setpriv:util-linux
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install_needed :postgresql

programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
folder=$(mktemp --directory)
as_nobody=()
if [ "$(id -u)" = 0 ]; then
    chmod 0777 "$folder"
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
server() { (cd / && "${as_nobody[@]}" "$programs/pg_ctl" -D "$folder/data" "$@"); }
trap 'server -m immediate stop >/dev/null || true; rm -rf "$folder"' EXIT
(cd / && "${as_nobody[@]}" "$programs/initdb" -D "$folder/data" -U push --auth=trust --encoding=UTF8 --locale=C --no-sync) >"$folder/log" ||
    { cat "$folder/log"; exit 1; }
port=$((20000 + RANDOM % 20000))
server -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off" -l "$folder/server.log" -w start >/dev/null

export PUSH_EXPORTER_TEST_LEDGER=postgres://push@127.0.0.1:$port
export PUSH_EXPORTER_KILLS=${PUSH_EXPORTER_KILLS:-20}
# Some damage a SQLite file, or have a SQLite ledger that fails on purpose.
of_sqlite='test(without_a_ledger_it_says_so) | test(an_unreadable_watermark) | test(a_file_waits_for_a_ledger) |
    test(an_outage_of_the_ledger) | test(the_newest_messages_are_shown) | test(newest_messages_do_not_stay) | test(a_total_is_not_shown_while)'
[ $# -gt 0 ] || set -- -E "((test(/^messages::/) - test(simulated_month)) | test(/^ledger::kills/) |
    test(/^polling::(first_start|late_data|partial_failures|holds|deliveries_by_hour)::/) | test(test_devices)) - ($of_sqlite)"
cargo nextest run --locked --no-fail-fast --test suite "$@"
