#!/usr/bin/env bash
# Builds the Debian package from the release binary and lives its life in a clean Debian: contents, lintian, installation
# by dpkg, man pages, completions, an edited configuration over an upgrade, removal, purge; then the service under a real
# systemd (service.sh). For root.
#     tests/package/deb.sh [PACKAGE]       a package that is there, in the place of building one
set -eEuo pipefail
cd "$(dirname "$0")/../.."
here=tests/package
# Lists are sorted, and words of programs are looked for.
export LC_ALL=C.UTF-8

[ "$(id -u)" = 0 ] || { echo "this wants root: it makes a Debian in a folder, and boots it"; exit 1; }
# shellcheck source=tests/needs.sh
source tests/needs.sh
install_needed debootstrap:debootstrap dpkg-deb:dpkg dpkg-shlibdeps:dpkg-dev lintian:lintian man:man-db \
    nsenter:util-linux openssl:openssl pgrep:procps systemd-nspawn:systemd-container

work=$(mktemp -d)
machine=$work/machine
# shellcheck source=tests/package/machine.sh
source $here/machine.sh
trap 'delete_machine; rm -rf "$work"' EXIT
trap 'echo "FAILED  $BASH_COMMAND (${BASH_SOURCE[0]}, line $LINENO)" >&2' ERR

since=$(date +%s.%N)
# What has been shown, and how long it took.
shown() {
    local now
    now=$(date +%s.%N)
    awk -v a="$since" -v b="$now" -v text="$*" 'BEGIN { printf "ok  %6.1f s  %s\n", b - a, text }'
    since=$now
}
# Reads to the end, as grep -q does not: what writes into a pipe would die of it.
has() { grep "$@" >/dev/null; }
failed() {
    echo "FAILED  $*" >&2
    exit 1
}

build() {
    if [ $# -gt 0 ]; then
        cp "$1" "$work/first.deb"
        return
    fi
    [ -x target/tools/bin/cargo-deb ] || cargo install cargo-deb@3.8.0 --locked --root target/tools
    cargo build --release --locked
    cargo run --release --locked --example package-files -- target/package
    target/tools/bin/cargo-deb --no-build --locked --quiet --output "$work/first.deb"
    shown "cargo deb"
}

# A list of what is in it, by hand: modes, owners and names. What there is several of is counted.
contents() {
    dpkg-deb --fsys-tarfile "$work/first.deb" | tar --list --verbose --numeric-owner | awk '$1 !~ /^d/ { print $1, $2, $6 }' | sed 's|\./|/|' | sort >"$work/contents"
    sed -E 's|/dashboards/[^/]+\.json$|/dashboards/*.json|; s|/rules/[^/]+\.yml$|/rules/*.yml|; s|/docs/[^/]+\.md$|/docs/*.md|' \
        "$work/contents" | sort -u | diff -u $here/contents.txt - >"$work/difference" ||
        { cat "$work/difference"; failed "the package has other contents than contents.txt says"; }
    counted() { [ "$(grep -c "$1" "$work/contents")" = "$(find "$2" -maxdepth 1 -name "$3" | wc -l)" ] || failed "not all of $2/$3 is in it"; }
    counted /dashboards/ grafana/dashboards '*.json'
    counted /rules/ prometheus/rules '*.yml'
    counted '/docs/.*\.md$' docs '*.md'
    counted /man1/ target/package/man '*.1'
    for needed in ca-certificates 'systemd (>= 251)'; do
        dpkg-deb --field "$work/first.deb" Depends | has "$needed" || failed "it does not depend on $needed"
    done
    shown "contents: $(wc -l <"$work/contents") files; package $(stat -c %s "$work/first.deb") bytes, binary" \
        "$(dpkg-deb --fsys-tarfile "$work/first.deb" | tar -xO ./usr/bin/push-exporter | wc -c) bytes"
}

style() {
    lintian --fail-on error,warning --tag-display-limit 0 --suppress-tags initial-upload-closes-no-bugs --allow-root \
        "$work/first.deb" >"$work/lintian" 2>&1 || { cat "$work/lintian"; failed "lintian"; }
    shown "lintian: no error, no warning"
}

# The same package with a greater version, and a configuration that has changed as well.
repack() {
    dpkg-deb --raw-extract "$work/first.deb" "$work/second"
    sed -i 's/^Version: .*/&+again/' "$work/second/DEBIAN/control"
    sed -i '1i # A line that came with the upgrade.' "$work/second/etc/push-exporter/push-exporter.yml"
    dpkg-deb --root-owner-group --build "$work/second" "$work/second.deb" >/dev/null
}

files_of_machine() {
    # Logs and caches of dpkg, ldconfig and man-db are not the package's.
    find "$machine" -xdev \( -path "$machine/proc" -o -path "$machine/sys" -o -path "$machine/run" -o -path "$machine/tmp" \
        -o -path "$machine/var/log" -o -path "$machine/var/cache" -o -path "$machine/var/lib/dpkg" -o -path "$machine/dev" \
        -o -path "$machine/root" \) -prune \
        -o -printf '%P %M %u %g\n' | sort
}

install_package() {
    inside dpkg --force-confdef --force-confold --install "/root/$1.deb" >"$work/dpkg" 2>&1 </dev/null ||
        { cat "$work/dpkg"; failed "dpkg --install $1.deb"; }
}

mode_is() {
    [ "$(stat -c '%a %U:%G' "$machine$2")" = "$1 root:root" ] || failed "$2 is $(stat -c '%a %U:%G' "$machine$2"), not $1 root:root"
}

installation() {
    cp "$work"/{first,second}.deb "$machine/root/"
    install_debian ca-certificates systemd
    files_of_machine >"$work/before"
    install_package first
    grep -q 'systemctl enable --now push-exporter' "$work/dpkg" || failed "a first installation does not say what comes next"
    mode_is 755 /usr/bin/push-exporter
    mode_is 644 /etc/push-exporter/push-exporter.yml
    mode_is 640 /etc/default/push-exporter
    mode_is 700 /etc/push-exporter/secrets
    [ ! -e "$machine/etc/systemd/system/multi-user.target.wants/push-exporter.service" ] || failed "the service is enabled"
    version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    inside push-exporter --version >"$work/version"
    grep -qx "push-exporter $version" "$work/version" || failed "--version says $(cat "$work/version")"
    # Every hint at a file is true.
    grep -ohE '/(usr|etc)/[[:alnum:]._/-]*[[:alnum:]]' deploy/debian/{README.Debian,postinst,push-exporter.default} |
        grep -vE '/(web\.yml|secrets/[a-z-]+)$' | sort -u >"$work/hints"
    while read -r hint; do
        [ -e "$machine$hint" ] || failed "$hint is named in deploy/debian and is not in the package"
    done <"$work/hints"
    shown "installed by dpkg; $(wc -l <"$work/hints") paths in README.Debian and scripts are there"
}

documents() {
    local page pages=0 warnings
    for page in "$machine"/usr/share/man/man1/push-exporter*.1.gz; do
        warnings=$(MANROFFSEQ='' MANWIDTH=100 man --warnings --local-file "$page" 2>&1 >"$work/page")
        [ -z "$warnings" ] || failed "$page: $warnings"
        grep -q push-exporter "$work/page" || failed "$page renders as nothing"
        pages=$((pages + 1))
    done
    # shellcheck disable=SC2016
    inside bash -c '
        source /usr/share/bash-completion/completions/push-exporter
        function=$(complete -p push-exporter | sed "s/.*-F \([^ ]*\) .*/\1/")
        tried() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            "$function" push-exporter "${*: -1}" "${*: -2:1}"
            printf "%s " "${COMPREPLY[@]}"; echo
        }
        tried push-exporter ""; tried push-exporter --web.sys; tried push-exporter check --off' >"$work/completed"
    grep -q 'serve ' "$work/completed" || failed "bash does not complete serve: $(cat "$work/completed")"
    grep -qx -- '--web.systemd-socket ' "$work/completed" || failed "bash does not complete --web.systemd-socket: $(cat "$work/completed")"
    grep -qx -- '--offline ' "$work/completed" || failed "bash does not complete check --offline: $(cat "$work/completed")"
    shown "$pages man pages render without a warning; bash completes commands and flags"
}

secrets() {
    local name
    grep -oE '^[^#]*_file: secrets/[a-z-]+' "$machine/etc/push-exporter/push-exporter.yml" | sed 's|.*/||' | while read -r name; do
        openssl rand -hex 16 | install -m 0600 /dev/stdin "$machine/etc/push-exporter/secrets/$name"
    done
}

configuration() {
    local code=0
    inside push-exporter check --offline --config.file=/etc/push-exporter/push-exporter.yml >"$work/check" 2>&1 || code=$?
    [ "$code" = 2 ] || failed "check without secrets ends with $code: $(cat "$work/check")"
    secrets
    inside push-exporter check --offline --config.file=/etc/push-exporter/push-exporter.yml >"$work/check" 2>&1 ||
        failed "the configuration that comes with it: $(cat "$work/check")"
    # shellcheck disable=SC2016
    inside setpriv --reuid=nobody --regid=nogroup --clear-groups bash -c '
        push-exporter demo --web.listen-address=127.0.0.1:10110 &
        page() {
            exec 3<>/dev/tcp/127.0.0.1/10110 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3
        }
        for _ in $(seq 100); do
            page 2>/dev/null | grep "^push_messages_sent_total{" >/dev/null && break
            sleep 0.1
        done
        page
        kill $! && wait $!' >"$work/metrics" 2>"$work/demo" || failed "the demo as nobody: $(cat "$work/demo")"
    has '^push_messages_sent_total{' "$work/metrics" || failed "the demo's page has no push_messages_sent_total"
    shown "the configuration that comes with it is good; demo as nobody: $(grep -c '^[a-z]' "$work/metrics") series"
}

# Over an upgrade, a removal, another installation and a purge.
life() {
    local configuration=$machine/etc/push-exporter/push-exporter.yml ledger=$machine/var/lib/push-exporter/push-exporter.db
    sed -i 's/^  - app: shop /  - app: edited /' "$configuration"
    echo 'ARGS="--log.level=debug"' >"$machine/etc/default/push-exporter"
    chmod 0600 "$machine/etc/default/push-exporter"
    # shellcheck disable=SC2016
    inside sh -c 'mkdir /var/lib/push-exporter
        push-exporter --config.file=/etc/push-exporter/push-exporter.yml 2>/dev/null &
        for _ in $(seq 100); do push-exporter health >/dev/null 2>&1 && break; sleep 0.1; done
        kill $! && wait $!' || failed "the program does not serve the edited configuration"
    [ -s "$ledger" ] || failed "there is no ledger"
    kept() {
        grep -q '^  - app: edited ' "$configuration" || failed "the edited configuration is not kept over $1"
        grep -qx 'ARGS="--log.level=debug"' "$machine/etc/default/push-exporter" || failed "edited flags are not kept over $1"
        mode_is 600 /etc/default/push-exporter
        mode_is 700 /etc/push-exporter/secrets
        [ -s "$machine/etc/push-exporter/secrets/feishu" ] || failed "secrets are not kept over $1"
        sha256sum --check --status "$work/ledger" || failed "the ledger is not kept over $1"
    }
    sha256sum "$ledger" >"$work/ledger"
    install_package second
    ! grep -q 'systemctl enable --now' "$work/dpkg" || failed "an upgrade says what comes after a first installation"
    grep -q 'came with the upgrade' "$configuration".dpkg-dist || failed "the new configuration is not beside the edited one"
    kept "an upgrade"
    inside dpkg --remove push-exporter >/dev/null
    [ ! -e "$machine/usr/bin/push-exporter" ] || failed "the program is there after a removal"
    kept "a removal"
    install_package first
    kept "another installation"
    inside dpkg --purge push-exporter >/dev/null 2>"$work/dpkg" || failed "dpkg --purge: $(cat "$work/dpkg")"
    files_of_machine | diff "$work/before" - >"$work/difference" || { cat "$work/difference"; failed "a purge leaves something"; }
    shown "an edited configuration, secrets and ledger are kept over upgrade and removal; a purge leaves nothing"
}

started=$(date +%s)
build "$@"
contents
style
repack
make_machine
shown "debootstrap"
installation
documents
configuration
life
install_debian systemd systemd-sysv zsh fish curl
shown "systemd, zsh and fish for the machine"
# shellcheck source=tests/package/service.sh
source $here/service.sh
service
echo "all in $(($(date +%s) - started)) s"
