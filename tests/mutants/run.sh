#!/usr/bin/env bash
# Changes the ledger, polling, the intake of message ids and the pure parts of the providers in small ways, one at a time
# (cargo-mutants): each change must fail a test. All of it takes days on two cores, so without arguments this does a
# four-hundredth; PUSH_EXPORTER_MUTANTS=1/40 does the second fortieth (the first is 0/40). Arguments are cargo-mutants'
# own, such as --file src/poll/backoff.rs, and do all that they select.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants
files=()
for pattern in 'src/util/clock*.rs' 'src/model/*.rs' 'src/ledger/*.rs' 'src/ledger/*/*.rs' 'src/poll/*.rs' 'src/messages/*.rs' 'src/exposition/mod.rs' \
    'src/provider/*.rs' 'src/provider/*/*.rs'; do
    files+=(--file "$pattern")
done
shard=${PUSH_EXPORTER_MUTANTS:-0/400}
if [ $# -gt 0 ]; then
    files=()
    shard=${PUSH_EXPORTER_MUTANTS:-0/1}
fi
# Tests that measure tell nothing about a small change and take most of the time; those that need other programs are
# not run by default.
slow='test(many_messages) | test(a_day_of_messages) | test(memory_growth)'
mkdir -p target
cargo mutants --output target --profile mutants --test-tool nextest --no-shuffle --timeout 1800 --baseline skip \
    --shard "$shard" "${files[@]}" "$@" -- --locked -E "not ($slow)"
