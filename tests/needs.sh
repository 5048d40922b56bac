# shellcheck shell=bash
# Sourced: installs what a script needs of Debian.

# install_needed PROGRAM:PACKAGE…: the packages of the programs that are missing, and those given as ":PACKAGE".
install_needed() {
    local need missing=() as_root=() log
    for need in "$@"; do
        command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    echo "installing: ${missing[*]}"
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    log=$(mktemp)
    { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        { cat "$log"; echo "cannot install ${missing[*]}; on another system than Debian install them by hand"; exit 1; }
    rm "$log"
}
