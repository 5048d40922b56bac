#!/usr/bin/env bash
# Fails unless a program is for this machine's architecture and needs nothing of a system but its kernel.
#
#     static.sh BINARY
set -euo pipefail
export LC_ALL=C
binary=$1

header=$(readelf --file-header "$binary")
case "$(uname -m)" in
x86_64) machine='Advanced Micro Devices X86-64' ;;
*) machine=$(uname -m | sed 's/aarch64/AArch64/') ;;
esac
grep -q "Machine: *$machine\$" <<<"$header" || { echo "$binary is not for $machine"; exit 1; }

segments=$(readelf --program-headers --wide "$binary")
if grep -E '^ *INTERP' <<<"$segments"; then
    echo "$binary wants a dynamic loader"
    exit 1
fi
dynamic=$(readelf --dynamic --wide "$binary")
if grep -F '(NEEDED)' <<<"$dynamic"; then
    echo "$binary wants libraries"
    exit 1
fi
# Writable memory that is executable would be a mistake of the linker or of assembly without a .note.GNU-stack.
if grep -E '^ *(GNU_STACK|LOAD).* RWE ' <<<"$segments"; then
    echo "$binary has memory that is writable and executable"
    exit 1
fi
echo "$binary: static, for $machine, $(stat --format=%s "$binary") bytes"
