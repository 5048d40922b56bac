#!/usr/bin/env bash
# Fuzzes every target, or those that are named, from the seeds: more than 10 million executions in all, TIMES as many
# if that is set. Prints how many there were, how fast, and the most memory they took; fails if anything was found,
# which is then in artifacts/ and belongs into finds/.
set -euo pipefail
cd "$(dirname "$0")"

# A hang is 5 seconds, growth half a GiB. How many executions, by what one takes.
limits=(-timeout=5 -rss_limit_mb=512 -max_len=16384 -max_total_time=$((3600 * ${TIMES:-1})))
declare -A executions=(
    [configuration]=2000000
    [easemob_answers]=1500000
    [engagelab_answers]=1500000
    [feishu_answers]=1000000
    [getui_answers]=1000000
    [jpush_answers]=1500000
    [message_api]=2000000
    [message_files]=2000000
    [onesignal_answers]=1500000
    [request_headers]=600000
    [web_configuration]=1000000
)
targets=("$@")
if [ $# = 0 ]; then
    mapfile -t targets < <(printf '%s\n' "${!executions[@]}" | sort)
fi

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# Stable Rust can tell coverage where no sanitizer is asked for. Run without cargo, whose own peak of memory a program
# that it starts would be charged with.
cargo fuzz build --sanitizer none
host=$(rustc -vV | sed -n 's/^host: //p')
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
found=()
total=0
table=$(printf '%-17s %12s %8s %12s' target executions each/s "peak RSS MiB")
for target in "${targets[@]}"; do
    folders=("corpus/$target" "seeds/$target")
    [ ! -d "finds/$target" ] || folders+=("finds/$target")
    mkdir -p "corpus/$target" "artifacts/$target"
    "target/$host/release/$target" "${folders[@]}" -artifact_prefix="artifacts/$target/" "${limits[@]}" \
        -runs=$((${executions[$target]} * ${TIMES:-1})) -print_final_stats=1 2>&1 | tee "$log/$target" |
        grep --line-buffered -avE '^#|NEW_FUNC|Failed to find function|# Uses' || found+=("$target")
    stat() { sed -n "s/^stat::$1: *//p" "$log/$target"; }
    row=$(printf '%-17s %12s %8s %12s' "$target" \
        "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$(stat peak_rss_mb)")
    table+=$'\n'$row
    total=$((total + $(stat number_of_executed_units)))
done
echo "$table"
echo "$total executions"
if [ "${#found[@]}" -gt 0 ]; then
    echo "something was found in: ${found[*]}"
    exit 1
fi
# A target that ran out of its time has not done what docs/promises.md says.
if [ $# = 0 ] && [ "$total" -lt 10000000 ]; then
    echo "fewer than 10 million executions"
    exit 1
fi
