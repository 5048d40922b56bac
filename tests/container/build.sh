#!/usr/bin/env bash
# Builds the container image as Dockerfile says, without a container engine, and starts it: buildah builds and runs in a
# chroot, and bases.sh makes stand-ins of the base images, under their names, so that nothing is pulled. Then image.py looks
# at the image, start.py runs it, and a second build shows that the layer of dependencies is used again. Needs root, and
# Debian 12 because of the stand-ins. It compiles everything once and push-exporter twice: about twenty minutes on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "needs root, for chroot and mounts"; exit 1; }

# shellcheck source=tests/needs.sh
source tests/needs.sh
install_needed buildah:buildah debootstrap:debootstrap python3:python3 openssl:openssl ip:iproute2 unshare:util-linux \
    setpriv:util-linux findmnt:util-linux mount:mount

mkdir -p target
folder=$(mktemp -d "$PWD/target/container.XXXXXX")
child=
cleanup() {
    trap - EXIT INT TERM
    # With it ends all that runs in its process namespace.
    [ -z "$child" ] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || true
    findmnt --raw --noheadings --output TARGET | grep -F "$folder/" | sort --reverse | xargs -r umount --lazy || true
    rm -rf --one-file-system "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# In namespaces of its own: what it mounts and starts ends with it.
alone() {
    unshare --mount --pid --fork --kill-child --mount-proc "$@" &
    child=$!
    local status=0
    wait "$child" || status=$?
    child=
    return "$status"
}

# vfs works everywhere; STORAGE_DRIVER=overlay is several minutes faster where the kernel lets it.
printf '[storage]\ndriver = "%s"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' \
    "${STORAGE_DRIVER:-vfs}" "$folder" "$folder" >"$folder/storage.conf"
mkdir "$folder/tmp"
export CONTAINERS_STORAGE_CONF=$folder/storage.conf TMPDIR=$folder/tmp
# The format of OCI has no health checks.
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker

# build NAME REVISION: the image, and how long it took.
build() {
    local start=$SECONDS log=$folder/$1.log
    alone buildah build --layers --pull-never --build-arg "REVISION=$2" --tag "localhost/$1" "$context" >"$log" 2>&1 ||
        { tail -n 60 "$log"; echo "the build of $1 failed"; exit 1; }
    took=$((SECONDS - start))
}
compiled() { grep -c '^ *Compiling ' "$folder/$1.log" || true; }

start=$SECONDS
alone tests/container/bases.sh "$folder/tmp"
bases=$(sed -n 's/^ARG [A-Z]*_IMAGE=//p' Dockerfile | paste -sd' ')
echo "ok      base images: stand-ins of $bases, with Rust $(rustc --version | cut -d' ' -f2), $((SECONDS - start)) s"

# What the build may see, as it is now.
context=$folder/context
mkdir "$context"
sed -n 's/^!//p' .dockerignore | xargs cp -a --parents --target-directory "$context" Dockerfile .dockerignore
revision=0123456789abcdef0123456789abcdef01234567
build first "$revision"
echo "ok      build: $(compiled first) crates compiled, $took s"

python3 tests/container/image.py localhost/first "$revision" "$folder/tmp"
alone unshare --net python3 tests/container/start.py localhost/first "$revision" "$folder/tmp"

# A change of one file, and dates that are older than those of the layer with the dependencies: that is in the new image,
# and nothing else is compiled for it.
sed -i 's/Prometheus exporter for push-notification delivery/A changed exporter/' "$context/src/commands/cli.rs"
! cmp -s src/commands/cli.rs "$context/src/commands/cli.rs" || { echo "nothing was changed for the second build"; exit 1; }
find "$context/src" -exec touch --date 2001-01-01 {} +
build second "${revision//0/f}"
[ "$(compiled second)" = 1 ] ||
    { grep Compiling "$folder/second.log"; echo "the second build compiled other than one crate"; exit 1; }
container=$(buildah from --pull-never localhost/second)
said=$(alone buildah run "$container" -- push-exporter --help)
grep -q 'A changed exporter' <<<"$said" || { echo "the second image has the program of the first"; exit 1; }
cached=$(grep -c 'Using cache' "$folder/second.log")
echo "ok      second build: one file and the revision changed, $cached steps from the cache, 1 crate compiled, $took s"
