#!/usr/bin/env bash
# Changes the ledger, polling, the intake of message ids and the pure parts of the providers in small ways (cargo-mutants' list),
# all of them behind switches in one build, and tries each change against the tests that reach it: a test must fail.
#
#     tests/mutants/run.sh [--only REGEX] [--seconds N] [--jobs N] [--tests REGEX]
#
# All 3,400 take about an hour on two cores with the default of 12 seconds of tests for each; what that leaves undecided is tried
# again with more: --seconds 60, or 0 for all tests. --only 'src/poll/backoff.rs' selects by name. It continues what it began, in
# target/mutants, until the source changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/needs.sh
source tests/needs.sh
install_needed cc:build-essential
# shellcheck source=tests/postgres-server.sh
source tests/postgres-server.sh
cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants
work=$PWD/target/mutants
mkdir -p "$work"
[ -x "$work/python/bin/python" ] || python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --requirement tests/mutants/requirements.txt

files=()
for pattern in 'src/util/clock*.rs' 'src/model/*.rs' 'src/ledger/*.rs' 'src/ledger/*/*.rs' 'src/poll/*.rs' 'src/messages/*.rs' 'src/exposition/mod.rs' \
    'src/provider/*.rs' 'src/provider/*/*.rs'; do
    files+=(--file "$pattern")
done
cargo mutants --list --json "${files[@]}" >"$work/mutants.json"

state=$(git ls-files -z src tests Cargo.toml Cargo.lock | xargs -0 sha256sum | sha256sum)
if [ "$state" != "$(cat "$work/state" 2>/dev/null)" ]; then
    rm -rf "$work/copy" "$work/results.jsonl" "$work/results.baseline" "$work/state"
    mkdir "$work/copy"
    git ls-files -z | xargs -0 cp --parents --no-dereference --target-directory="$work/copy"
    export CARGO_TARGET_DIR=$work/target
    "$work/python/bin/python" tests/mutants/switches.py . "$work/copy" "$work/mutants.json"
    (cd "$work/copy" && cargo test --locked --profile mutants --lib --bins --test suite --test programs --no-run --message-format=json) \
        2>"$work/build.log" >"$work/build.json" || { tail -n 30 "$work/build.log"; exit 1; }
    python3 - "$work/build.json" >"$work/binaries.json" <<'P'
import json, sys
built = (json.loads(line) for line in open(sys.argv[1]) if line.startswith("{"))
tests = [a for a in built if a.get("executable") and a["profile"]["test"]]
print(json.dumps({"lib" if "lib" in a["target"]["kind"] else a["target"]["name"]: a["executable"] for a in tests}))
P
    echo "$state" >"$work/state"
fi
python3 tests/mutants/try.py "$work/copy" "$work/mutants.json" "$work/binaries.json" "$work/results.jsonl" "$@"
