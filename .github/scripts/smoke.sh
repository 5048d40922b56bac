#!/usr/bin/env bash
# Starts a program as it is to be released: its version and revision, a scrape of the demo with series of each
# provider, its health check, its stop. SMOKE_PORT is a free port, 10110 unless told.
#
#     smoke.sh BINARY VERSION REVISION
set -euo pipefail
binary=$(realpath "$1") version=$2 revision=$3
address=127.0.0.1:${SMOKE_PORT:-10110}

said=$("$binary" --version)
[ "$said" = "push-exporter $version" ] || { echo "--version says: $said"; exit 1; }

folder=$(mktemp --directory)
"$binary" demo --web.listen-address "$address" >"$folder/log" 2>&1 &
demo=$!
trap 'kill "$demo" 2>/dev/null || true; rm -rf "$folder"' EXIT

fail() {
    echo "$1"
    tail -n 20 "$folder/log"
    exit 1
}

# A scrape, and whether everything polled so far went well, for all providers, and something was counted.
scrape() {
    curl --silent --fail --max-time 5 "http://$address/metrics" >"$folder/page"
}
is_full() {
    scrape || return 1
    local provider
    while read -r provider; do
        grep -q "^push_up{provider=\"$provider\".*} 1\$" "$folder/page" || return 1
        grep -qE "^push_messages_sent_total\{provider=\"$provider\".*\} [1-9]" "$folder/page" || return 1
    done < <(sed -n 's/^push_up{provider="\([a-z]*\)".*/\1/p' "$folder/page" | sort -u)
    grep -q '^push_up{.*} 1$' "$folder/page" && ! grep -q '^push_up{.*} 0$' "$folder/page"
}

# Tries it each second, for a minute.
eventually() {
    for _ in $(seq 60); do
        kill -0 "$demo" 2>/dev/null || fail "the demo does not run"
        if "$1"; then return; fi
        sleep 1
    done
    fail "not within a minute: $1"
}

eventually scrape
expected="push_exporter_build_info{revision=\"$revision\",version=\"$version\"} 1"
grep -qxF "$expected" "$folder/page" ||
    fail "expected $expected, not $(grep '^push_exporter_build_info' "$folder/page")"
eventually is_full
"$binary" health --web.listen-address "$address" || fail "not healthy"

kill "$demo"
code=0
wait "$demo" || code=$?
[ "$code" = 0 ] || fail "SIGTERM ends it with exit code $code"
echo "$binary: $said, $(grep -vc '^#' "$folder/page") series, healthy, stops"
