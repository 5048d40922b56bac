# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016
# The service of the package under a real systemd, in a machine that is booted: what the unit promises. Sourced by deb.sh,
# which says what $work and $machine are. A forbidden system call ends the process here, so that none passes unnoticed.

on() { booted_inside "$@"; }
property() { on systemctl show --property="$1" --value "${2:-push-exporter}"; }
journal() { on journalctl --unit=push-exporter --output=cat --no-pager --lines="${1:-200}"; }
# A number of the page.
number() { on curl -fsS --max-time 5 http://localhost:10110/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
# Gives a condition ten seconds, or $patience.
eventually() {
    local what=$1 _
    shift
    for _ in $(seq $((${patience:-10} * 10))); do
        "$@" && return
        sleep 0.1
    done
    journal 30
    failed "$what"
}
drop_in() {
    on mkdir -p /run/systemd/system/push-exporter.service.d
    printf '%s\n' '[Service]' "${@:2}" >"$work/drop-in"
    on tee "/run/systemd/system/push-exporter.service.d/$1.conf" <"$work/drop-in" >/dev/null
    on systemctl daemon-reload
}
without() {
    on rm "/run/systemd/system/push-exporter.service.d/$1.conf"
    on systemctl daemon-reload
}
restart() { on systemctl restart push-exporter || { journal 20; failed "$1"; }; }
is() { [ "$(property "$1")" = "$2" ]; }
answers() { on push-exporter health >/dev/null 2>&1; }

first_start() {
    install_in_it first
    [ "$(on systemctl is-enabled push-exporter || true)" = disabled ] || failed "the service is enabled"
    [ "$(property ActiveState)" = inactive ] || failed "the service is started by the installation"
    drop_in strict SystemCallErrorNumber=kill
    ! on systemctl start push-exporter 2>/dev/null || failed "it starts without the secrets of its configuration"
    sleep 1
    [ "$(property ExecMainStatus) $(property NRestarts) $(property ActiveState)" = "2 0 failed" ] ||
        failed "a wrong configuration: $(property ExecMainStatus) $(property NRestarts) $(property ActiveState)"
    journal | has 'message_api.token_file: cannot read /etc/push-exporter/secrets/message-api' || failed "the journal does not say what is wrong"
    secrets
    # So that counters show what they have at once.
    sed -i 's/^#new_series_hold: .*/new_series_hold: 0s/' "$machine/etc/push-exporter/push-exporter.yml"
    # By root, before the service has ever run.
    on push-exporter check --offline --config.file=/etc/push-exporter/push-exporter.yml >/dev/null
    on systemctl start push-exporter || { journal 20; failed "it does not start"; }
    on push-exporter health >/dev/null || failed "systemctl start returns before it answers"
    shown "a wrong configuration is exit code 2 and not tried again; with secrets it starts"
}

# Completions where zsh and fish look for them by themselves; bash's are tried before.
shells() {
    on zsh -c 'autoload -U compinit && compinit -u && print -r -- "$_comps[push-exporter]" && autoload +X _push-exporter' >"$work/zsh"
    [ "$(cat "$work/zsh")" = _push-exporter ] || failed "zsh completes push-exporter by '$(cat "$work/zsh")'"
    on fish -c 'complete --do-complete "push-exporter "; complete --do-complete "push-exporter check --off"' | cut -f1 >"$work/fish"
    { has -x serve "$work/fish" && has -x -- --offline "$work/fish"; } || failed "fish does not complete serve and check --offline"
    shown "zsh and fish find their completions"
}

confinement() {
    local pid user
    pid=$(property MainPID)
    user=$(on stat -c %u "/proc/$pid")
    { [ "$user" -ge 61184 ] && [ "$user" -le 65519 ]; } || failed "it runs as the user $user"
    on grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp|Groups):' "/proc/$pid/status" | tr -s ' \t' ' ' | sort >"$work/status"
    printf '%s\n' 'CapBnd: 0000000000000000' 'CapEff: 0000000000000000' "Groups: $user " 'NoNewPrivs: 1' 'Seccomp: 2' |
        diff - "$work/status" || failed "it has more than it needs"
    on grep -E '^Max (core|open)' "/proc/$pid/limits" | tr -s ' ' | diff <(printf '%s\n' 'Max core file size 0 0 bytes ' 'Max open files 8192 8192 files ') - ||
        failed "limits"
    [ "$(on stat -Lc '%a %u' /var/lib/push-exporter /var/lib/push-exporter/push-exporter.db | tr '\n' ' ')" = "700 $user 600 $user " ] ||
        failed "others can get at the ledger"
    ! on setpriv --reuid=nobody --clear-groups cat /run/push-exporter/feishu 2>/dev/null || failed "others can read secrets"
    on systemd-analyze --no-pager security push-exporter | tail -1
    shown "a user of its own, no capabilities; secrets and ledger are its alone"
}

reloads() {
    local pid file=/etc/push-exporter/push-exporter.yml
    pid=$(property MainPID)
    on sed -i 's/^  - app: office-bot$/  - app: renamed/' $file
    on systemctl reload push-exporter 2>/dev/null || { journal 10; failed "a good configuration is not read again"; }
    eventually "the renamed app is not there" has_renamed
    on sed -i 's/^feishu:/feishuu:/' $file
    ! on systemctl reload push-exporter 2>/dev/null || failed "systemctl reload takes a wrong configuration"
    journal | has 'feishuu: unknown key' || failed "the journal does not say what is wrong"
    [ "$(property ActiveState) $(property MainPID)" = "active $pid" ] || failed "a wrong configuration harms the service"
    on sed -i 's/^feishuu:/feishu:/' $file
    on systemctl reload push-exporter
    eventually "it does not become active again after a reload" is SubState running
    shown "systemctl reload reads the configuration again, and refuses a wrong one"
}
has_renamed() { on curl -fsS http://localhost:10110/metrics | has 'app="renamed"'; }

# What is told to the message API with a token; the answer's code.
register() {
    on curl -s -o /dev/null -w '%{http_code}' http://localhost:10110/api/v1/messages -H "Authorization: Bearer $1" \
        -H 'Content-Type: application/json' -d '{"app":"shop","msg_id":"'"$2"'"}'
}

secrets_and_counters() {
    local old new series='push_messages_registered_total{provider="jpush",app="shop",source="api"}'
    old=$(on cat /etc/push-exporter/secrets/message-api)
    [ "$(register "$old" 1)" = 200 ] || failed "a message is not registered: $(register "$old" 1)"
    new=rotated-$old
    on sed -i 's/^/rotated-/' /etc/push-exporter/secrets/message-api
    restart "with a rotated secret"
    [ "$(register "$old" 2) $(register "$new" 3)" = "401 200" ] || failed "a rotated secret does not count after a restart"
    eventually "two messages are not counted over a restart" counts "$series" 2
    shown "a rotated secret counts after a restart; counters go on"
}
counts() { [ "$(number "$1")" = "$2" ]; }

failures() {
    local before
    before=$(property NRestarts)
    on systemctl kill --signal=KILL push-exporter
    eventually "it is not started again after kill -9" is NRestarts $((before + 1))
    eventually "it does not answer after kill -9" answers
    drop_in watchdog WatchdogSec=2s
    restart "with a watchdog of 2 s"
    sleep 5
    [ "$(property NRestarts)" = 0 ] || failed "the watchdog bites an exporter that is well"
    on systemctl kill --signal=STOP push-exporter
    eventually "an exporter that hangs is not noticed" is NRestarts 1
    journal | has 'Watchdog timeout' || failed "it was something else than the watchdog"
    eventually "it does not answer after the watchdog" answers
    without watchdog
    shown "started again after kill -9, and by the watchdog when it hangs"
}

# A file of message ids that only a group may read, and secrets in variables without any folder of secrets.
other_ways() {
    on sh -c 'mkdir -p /var/log/shop && echo 1613113584 >/var/log/shop/push-ids.jsonl && chgrp adm /var/log/shop/push-ids.jsonl &&
        chmod 640 /var/log/shop/push-ids.jsonl && mv /etc/push-exporter/secrets /root/secrets'
    on tee /etc/push-exporter/push-exporter.yml >/dev/null <<'END'
ledger: sqlite:/var/lib/push-exporter/push-exporter.db
new_series_hold: 0s
jpush:
  - app: files
    app_key: 7d431e42dfa6a6d693ac2d05
    master_secret: ${JPUSH_SECRET}
    messages: {files: [/var/log/shop/push-ids.jsonl]}
END
    on tee /etc/default/push-exporter >/dev/null <<<$'ARGS="--log.level=debug"\nJPUSH_SECRET=7d431e42dfa6a6d693ac2d04'
    local series='push_messages_registered_total{provider="jpush",app="files",source="file"}'
    restart "without a folder of secrets"
    sleep 2
    [ "$(number "$series")" != 1 ] || failed "it reads a file that is for a group alone"
    drop_in group SupplementaryGroups=adm
    restart "with a group"
    eventually "ids of a file that a group may read are not registered" counts "$series" 1
    without group
    shown "secrets in variables, without a folder; a file that a group may read by SupplementaryGroups="
}

# Everything that the program does, with the calls that the filter allows: all providers, ledger, TLS, a reload.
everything() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$work/key" -out "$work/certificate" 2>/dev/null
    on tee /etc/push-exporter/server.crt <"$work/certificate" >/dev/null
    on install -D -m 0600 /dev/stdin /etc/push-exporter/secrets/server.key <"$work/key"
    on tee /etc/push-exporter/web.yml >/dev/null <<<'tls_server_config: {cert_file: server.crt, key_file: secrets/server.key}'
    on tee /etc/default/push-exporter >/dev/null <<<'ARGS="--web.config.file=/etc/push-exporter/web.yml"'
    # shellcheck disable=SC2016
    drop_in demo ExecStart= 'ExecStart=/usr/bin/push-exporter demo $ARGS' ExecReload= 'ExecReload=/bin/sh -c "kill -HUP $MAINPID"'
    restart "the demo"
    on systemctl reload push-exporter
    patience=90 eventually "the demo's counters of three providers do not grow" demo_counts
    [ "$(property NRestarts) $(property ActiveState)" = "0 active" ] || failed "the demo: $(property NRestarts) $(property ActiveState)"
    without demo
    on systemctl stop push-exporter
    on tee /etc/default/push-exporter >/dev/null <<<$'ARGS=""\nJPUSH_SECRET=7d431e42dfa6a6d693ac2d04'
    shown "the demo over TLS with a key among the secrets: the filter of system calls allows all of it"
}
demo_counts() {
    on curl -fsS --cacert /etc/push-exporter/server.crt https://localhost:10110/metrics |
        awk '/^push_messages_sent_total{/ && $2 > 0 { found[substr($0, 26, 20)] = 1 } END { exit length(found) < 3 }'
}

# No scrape is refused while the service restarts.
socket() {
    on tee /etc/default/push-exporter >/dev/null <<<$'ARGS="--web.systemd-socket"\nJPUSH_SECRET=7d431e42dfa6a6d693ac2d04'
    on systemctl enable --quiet --now push-exporter.socket push-exporter.service
    on sh -c 'for _ in $(seq 60); do curl -fsS -o /dev/null --max-time 10 http://localhost:10110/metrics || echo refused; sleep 0.05; done' \
        >"$work/scrapes" 2>&1 &
    local scrapes=$!
    sleep 0.5
    restart "with the socket"
    wait "$scrapes"
    [ ! -s "$work/scrapes" ] || failed "scrapes are refused during a restart with the socket: $(head -1 "$work/scrapes")"
    shown "with the socket no scrape of 60 is refused over a restart"
}

upgrade_and_purge() {
    local pid
    pid=$(property MainPID)
    install_in_it second
    [ "$(property ActiveState) $(property ActiveState push-exporter.socket)" = "active active" ] || failed "an upgrade stops the service or its socket"
    [ "$(property MainPID)" != "$pid" ] || failed "an upgrade does not restart the service"
    answers || failed "it does not answer after an upgrade"
    on dpkg --remove push-exporter >/dev/null
    ! on pgrep -x push-exporter >/dev/null || failed "it runs on after a removal"
    on test -s /var/lib/private/push-exporter/push-exporter.db || failed "a removal takes the ledger"
    on dpkg --purge push-exporter >/dev/null
    on rm -r /root/secrets
    on find /etc /var/lib /usr /run -xdev -name 'push-exporter*' -not -path '/run/systemd/system/*' -not -path '/var/lib/dpkg/*' >"$work/left"
    [ ! -s "$work/left" ] || failed "a purge leaves $(tr '\n' ' ' <"$work/left")"
    shown "an upgrade restarts what runs, a removal stops it, a purge leaves nothing"
}

install_in_it() {
    on dpkg --force-confdef --force-confold --install "/root/$1.deb" >"$work/dpkg" 2>&1 </dev/null || { cat "$work/dpkg"; failed "dpkg --install $1.deb"; }
}

service() {
    boot
    shown "a machine with $(on systemctl --version | head -1) boots"
    first_start
    shells
    confinement
    reloads
    secrets_and_counters
    failures
    other_ways
    everything
    socket
    upgrade_and_purge
}
