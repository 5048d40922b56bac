#!/usr/bin/env python3
"""Writes the software bill of materials of the released program: every crate that is compiled for a target, with versions, licences
and checksums, as CycloneDX JSON. Needs cargo-cyclonedx; SOURCE_DATE_EPOCH is the date in it.

cargo-cyclonedx lists too much: crates behind features that nobody enables, ring among them, for which scanners would raise
alarms. Those that `cargo tree` does not have are taken out.

    sbom.py TARGET FILE"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def compiled(target: str) -> set[tuple[str, str]]:
    """Name and version of the crates in the program and in what builds it."""
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,build", "--prefix", "none"]
    said = subprocess.run([*command, "--format", "{p}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    crates = [line.split() for line in said.splitlines() if line]
    return {(crate[0], crate[1].removeprefix("v")) for crate in crates}


def listed(target: str) -> dict:
    """What cargo-cyclonedx says; it writes beside Cargo.toml, the name that it is given and .json."""
    with tempfile.NamedTemporaryFile(dir=ROOT, prefix="sbom-", suffix=".json") as made:
        command = ["cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target]
        name = Path(made.name).name.removesuffix(".json")
        subprocess.run([*command, "--override-filename", name], cwd=ROOT, check=True)
        text = Path(made.name).read_text("utf-8")
    # Where it was made is nobody's business, and would make other bytes of it elsewhere.
    return json.loads(text.replace(f"path+file://{ROOT}#", "path+file:///build#"))


def without_unused(bill: dict, used: set[tuple[str, str]]) -> dict:
    components = [part for part in bill["components"] if (part["name"], part["version"]) in used]
    kept = {part["bom-ref"] for part in components} | {bill["metadata"]["component"]["bom-ref"]}
    dependencies = [
        {**entry, "dependsOn": [ref for ref in entry["dependsOn"] if ref in kept]} if "dependsOn" in entry else entry
        for entry in bill["dependencies"]
        if entry["ref"] in kept
    ]
    return {**bill, "components": components, "dependencies": dependencies}


def main() -> int:
    _, target, file = sys.argv
    if not os.environ.get("SOURCE_DATE_EPOCH"):
        print("SOURCE_DATE_EPOCH is not set: the time of the commit", file=sys.stderr)
        return 1
    bill = without_unused(listed(target), compiled(target))
    Path(file).write_text(json.dumps(bill, indent=2) + "\n", "utf-8")
    print(f"{file}: {len(bill['components'])} crates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
