# Sourced by what runs tests on PostgreSQL: starts a server of its own, which ends with the shell, and names it in
# PUSH_EXPORTER_TEST_LEDGER.
# shellcheck shell=bash
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
