#!/usr/bin/env bash
# Writes SHA256SUMS of all files in a folder, for `sha256sum --check`.
#
#     checksums.sh FOLDER
set -euo pipefail
export LC_ALL=C
cd "$1"
rm -f SHA256SUMS
sums=$(sha256sum -- *)
printf '%s\n' "$sums" >SHA256SUMS
