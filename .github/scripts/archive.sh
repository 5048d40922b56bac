#!/usr/bin/env bash
# Packs a program with what an operator uses beside it: push-exporter-VERSION-linux-ARCH.tar.gz. Prints its path. The same
# files give the same bytes; SOURCE_DATE_EPOCH, the time of the commit, is the date of all of them.
#
# target/package, or PACKAGE_FILES, has what deploy/package_files.rs generates.
#
#     archive.sh BINARY VERSION ARCH FOLDER
set -euo pipefail
shopt -s failglob
export LC_ALL=C
binary=$(realpath "$1") version=$2 arch=$3
mkdir -p "$4"
out=$(realpath "$4")
generated=${PACKAGE_FILES:-target/package}
: "${SOURCE_DATE_EPOCH:?the time of the commit}"
cd "$(dirname "$0")/../.."

name=push-exporter-$version-linux-$arch
stage=$(mktemp --directory)
trap 'rm -rf "$stage"' EXIT

install -D --mode=0755 -- "$binary" "$stage/$name/push-exporter"
install --mode=0644 -- "$generated/push-exporter.yml.example" "$stage/$name/push-exporter.yml.example"
# In the folders of the repository, so that the documents' links lead somewhere.
cp --parents -- LICENSE README.md README.zh-CN.md CHANGELOG.md docs/*.md docs/*.json \
    deploy/systemd/* grafana/dashboards/*.json prometheus/RUNBOOK.md prometheus/rules/*.yml "$stage/$name"
cp --recursive -- "$generated/man" "$generated/completions" "$stage/$name/docs/"
chmod -R u=rwX,go=rX "$stage/$name"

tar --create --directory "$stage" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner "$name" | gzip --no-name --best >"$out/$name.tar.gz"
echo "$out/$name.tar.gz"
