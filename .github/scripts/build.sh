#!/usr/bin/env bash
# Builds the released program: one static binary on musl, for the architecture of this machine. Prints its path.
# Needs Rust with the musl target (`rustup target add`) and musl-gcc (Debian's and Ubuntu's musl-tools): C code is in
# the program, SQLite and aws-lc, and neither needs more than a C compiler. PUSH_EXPORTER_REVISION goes into
# push_exporter_build_info.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${PUSH_EXPORTER_REVISION:?the commit that is built}"

target=$(uname -m)-unknown-linux-musl
# The crate cc looks for aarch64-linux-musl-gcc on arm64, which musl-tools does not have.
export "CC_${target//-/_}=musl-gcc"
# A static binary whatever Rust's default for musl is; and no path of the machine that builds, neither in messages of a
# panic nor as a reason for other bytes.
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/build --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
# What Cargo tells of every crate is kept, to hold the bill of materials against.
mkdir -p "target/$target"
cargo build --release --locked --target "$target" --message-format=json-render-diagnostics >"target/$target/messages.json"
# Man pages, completions and configuration, for the packages.
cargo run --release --locked --target "$target" --example package-files -- target/package >&2
echo "target/$target/release/push-exporter"
