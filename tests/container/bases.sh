#!/usr/bin/env bash
# Makes stand-ins of the base images that Dockerfile names, and commits them under these very names into the storage of
# CONTAINERS_STORAGE_CONF: Debian by debootstrap, slimmed down like the official image, and on top of it the C compiler and
# this machine's Rust. They reach package sources as this machine does, by its certificates and settings of apt and cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1                                     # for what is thrown away afterwards

named() { sed -n "s/^ARG $1=//p" Dockerfile; }
suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}

# What the official slim image leaves out.
debian() {
    local root=$folder/debian
    debootstrap --variant=minbase "$suite" "$root" "$mirror/debian" >"$folder/debootstrap.log" 2>&1 ||
        { tail -n 30 "$folder/debootstrap.log"; echo "debootstrap failed"; exit 1; }
    printf '%s\n' "deb $mirror/debian $suite main" "deb $mirror/debian $suite-updates main" \
        "deb $mirror/debian-security $suite-security main" >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(Check|[Hh]ttp|Retries)' >"$root/etc/apt/apt.conf.d/90machine" || true
    cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache ""; Acquire::Languages "none"; Acquire::GzipIndexes "true";
END
    printf 'path-exclude %s\n' '/usr/share/doc/*' '/usr/share/info/*' '/usr/share/linda/*' '/usr/share/lintian/*' \
        '/usr/share/locale/*' '/usr/share/man/*' >"$root/etc/dpkg/dpkg.cfg.d/docker"
    echo 'path-include /usr/share/doc/*/copyright' >>"$root/etc/dpkg/dpkg.cfg.d/docker"
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    find "$root/usr/share/"{info,lintian,locale,man} "$root/var/lib/apt/lists" "$root/var/cache" "$root/var/log" \
        -type f -delete 2>/dev/null || true
    rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >/dev/null
    buildah config --cmd bash "$container"
    buildah commit --quiet --rm "$container" "$(named RUNTIME_IMAGE)" >/dev/null
    rm -rf --one-file-system "$root"
}

# rustc, cargo and the standard library, as rustup's minimal profile has them, where the official image has them.
rust() {
    local container root toolchain sysroot part
    container=$(buildah from --pull-never "$(named RUNTIME_IMAGE)")
    buildah run "$container" -- sh -c 'apt-get update && apt-get install --yes --no-install-recommends \
        ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*' >"$folder/gcc.log" 2>&1 ||
        { tail -n 30 "$folder/gcc.log"; echo "cannot install gcc into the build image"; exit 1; }
    root=$(buildah mount "$container")
    sysroot=$(rustc --print sysroot)
    toolchain=/usr/local/rustup/toolchains/stable
    mkdir -p "$root$toolchain/bin" "$root$toolchain/lib/rustlib" "$root/usr/local/cargo/bin"
    cp -a "$sysroot/bin/"{cargo,rustc} "$root$toolchain/bin"
    cp -a "$sysroot/lib/"*.so* "$root$toolchain/lib"
    cp -a "$sysroot/lib/rustlib/$(rustc --print host-tuple)" "$root$toolchain/lib/rustlib"
    for part in cargo rustc; do ln -s "$toolchain/bin/$part" "$root/usr/local/cargo/bin/$part"; done
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    for part in "${CARGO_HOME:-$HOME/.cargo}/"config{,.toml}; do
        [ ! -f "$part" ] || cp "$part" "$root/usr/local/cargo/"
    done
    buildah umount "$container" >/dev/null
    buildah config --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
        --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm "$container" "$(named BUILD_IMAGE)" >/dev/null
}

debian
rust
