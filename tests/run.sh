#!/usr/bin/env bash
# Installs what the tests need and passes them all. Rust (1.89 or later) must be there.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tests/needs.sh
source tests/needs.sh
needs=(cc:build-essential curl:curl python3:python3 prometheus:prometheus promtool:prometheus chromium:chromium
    prometheus-alertmanager:prometheus-alertmanager amtool:prometheus-alertmanager
    psql:postgresql-client pgbouncer:pgbouncer faketime:faketime sqlite3:sqlite3 unshare:util-linux setpriv:util-linux mount:mount openssl:openssl node:nodejs npm:npm
    shellcheck:shellcheck systemd-analyze:systemd)
python3 -c "import ensurepip, venv" 2>/dev/null || needs+=(:python3-venv)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || needs+=(:postgresql)
install_needed "${needs[@]}"
# It would replace the system's log daemon.
unpack_needed target/syslog-ng syslog-ng-core syslog-ng-mod-http libcap2 libcurl4 libglib2.0-0 libivykis0 libjson-c5 libnet1 libpcre3 \
    libssl3 libsystemd0 libwrap0

# The providers' own SDKs, official parsers, and what the dashboards are made with, in a place of their own.
wanted=(tests/requirements.txt grafana/source/requirements.txt)
if ! cat "${wanted[@]}" | cmp -s - target/python/.installed; then
    echo "installing what the tests use of Python"
    log=$(mktemp)
    { python3 -m venv --clear target/python && target/python/bin/pip install --requirement tests/requirements.txt &&
        cat "${wanted[@]}" >target/python/.installed; } >"$log" 2>&1 ||
        { cat "$log"; echo "cannot install tests/requirements.txt"; exit 1; }
fi

# What drives the browser, and what knows accessibility.
if ! cmp -s tests/browser/package-lock.json tests/browser/node_modules/.installed; then
    echo "installing what the tests use of Node"
    log=$(mktemp)
    { (cd tests/browser && npm ci --ignore-scripts) && cp tests/browser/package-lock.json tests/browser/node_modules/.installed; } >"$log" 2>&1 ||
        { cat "$log"; echo "cannot install tests/browser/package-lock.json"; exit 1; }
fi

# The same build either way; nextest runs the tests side by side and prints less.
lanes=(--lib --bins --test suite --test programs)
if cargo nextest --version >/dev/null 2>&1; then
    # One more than there are cores, since many wait for other programs.
    cargo nextest run --locked --no-fail-fast --test-threads $(($(nproc) + 1)) "${lanes[@]}" "$@"
else
    cargo test --locked --no-fail-fast "${lanes[@]}" "$@"
fi

# The tests of messages and kills once more, on PostgreSQL; not if only some tests are wanted.
if [ $# = 0 ] && cargo nextest --version >/dev/null 2>&1; then
    tests/postgres.sh
fi
