#!/usr/bin/env python3
"""Checks a software bill of materials against what Cargo told of its build (.github/scripts/build.sh keeps that) and Cargo.lock:
every crate that was compiled is listed, none besides, each with its checksum and a licence. Prints what was checked; what is
wrong, with exit code 1.

    sbom.py BILL MESSAGES"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CRATE = re.compile(r"registry\+https://github\.com/rust-lang/crates\.io-index#([^@]+)@(.+)")


def compiled(messages: Path) -> set[tuple[str, str]]:
    """Name and version of every crate of crates.io that the build made something of."""
    told = [json.loads(line) for line in messages.read_text("utf-8").splitlines()]
    ids = {message["package_id"] for message in told if message["reason"] == "compiler-artifact"}
    return {(match[1], match[2]) for match in map(CRATE.fullmatch, ids) if match}


def own() -> tuple[str, str]:
    package = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["package"]
    return package["name"], package["version"]


def checksums() -> dict[tuple[str, str], str | None]:
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text("utf-8"))["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in locked}


def wrong(bill: dict, expected: set[tuple[str, str]]) -> Iterator[str]:
    about = bill["metadata"]["component"]
    if (about["name"], about["version"]) != own():
        yield f"it is of {about['name']} {about['version']}, not of {own()}"
    if "file:///build#" not in about["bom-ref"]:
        yield f"it names a folder of the machine that made it: {about['bom-ref']}"
    listed = {(part["name"], part["version"]): part for part in bill["components"]}
    yield from (f"{crate} is compiled, but not listed" for crate in sorted(expected - listed.keys()))
    yield from (f"{crate} is listed, but not compiled" for crate in sorted(listed.keys() - expected))
    sums = checksums()
    for crate, part in sorted(listed.items()):
        said = [entry["content"] for entry in part.get("hashes", []) if entry["alg"] == "SHA-256"]
        if said != [sums.get(crate)]:
            yield f"{crate} has the checksum {said}, not that of Cargo.lock"
        if not part.get("licenses"):
            yield f"{crate} has no licence"


def main() -> int:
    _, file, messages = sys.argv
    bill = json.loads(Path(file).read_text("utf-8"))
    expected = compiled(Path(messages))
    found = list(wrong(bill, expected)) if expected else [f"{messages} tells of no crate"]
    for message in found:
        print(message, file=sys.stderr)
    if not found:
        print(f"{file}: {len(expected)} crates, all that were compiled")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
