#!/usr/bin/env bash
# Makes the README's pictures of the dashboards: nine simulated days (tests/programs/history.rs), seen a while before their
# end, when one channel is in trouble. After tests/run.sh, which installs what it needs; besides that, pngquant.
set -euo pipefail
cd "$(dirname "$0")/../.."

if curl --silent --output /dev/null http://127.0.0.1:19090; then
    echo "port 19090 is in use"
    exit 1
fi
folder=$(mktemp -d)
prometheus=
trap '[ -z "$prometheus" ] || kill "$prometheus"; rm -rf "$folder"' EXIT
PUSH_EXPORTER_HISTORY=$folder cargo test --locked --test programs nine_days
echo 'global: {}' >"$folder/prometheus.yml"
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" --storage.tsdb.retention.time=10y \
    --web.listen-address=127.0.0.1:19090 --log.level=error &
prometheus=$!
curl --silent --show-error --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:19090/-/ready >"$folder/ready"

end=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["end"])' "$folder/expected.json")
draw() {
    node tests/browser/dashboards.mjs --prometheus http://127.0.0.1:19090 --out "$folder/out" --time $((end - 27000)) \
        --range 24h --scrape-interval 4m --width 1200 --strict "grafana/dashboards/push-$1.json" "${@:2}"
    # 256 colours are enough for lines and letters, and a fifth of the size.
    pngquant --force --output "docs/dashboard-$1.png" "$folder/out/push-$1.png"
}
draw overview --scale 1.5
draw channel --var channel=honor
draw app --var app=shop
draw exporter
