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

# unpack_needed FOLDER PACKAGE…: packages that would take the place of others, unpacked into a folder instead of installed.
unpack_needed() {
    local folder=$1 log as_root=()
    shift
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    [ "$(cat "$folder/.unpacked" 2>/dev/null)" != "$*" ] || return 0
    echo "unpacking: $*"
    log=$(mktemp)
    rm -rf "$folder"
    mkdir -p "$folder/packages"
    { (cd "$folder/packages" && { apt-get download "$@" || { "${as_root[@]}" apt-get update && apt-get download "$@"; }; } &&
        for package in *.deb; do dpkg --extract "$package" ..; done) &&
        rm -r "$folder/packages" && echo "$*" >"$folder/.unpacked"; } >"$log" 2>&1 ||
        { cat "$log"; echo "cannot unpack $*"; exit 1; }
    rm "$log"
}
