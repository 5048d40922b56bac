#!/usr/bin/env python3
"""Checks that the same version stands everywhere: Cargo.toml, Cargo.lock, the chart, the Debian package, the newest section of
CHANGELOG.md (which may be "Unreleased" until the release), and with --tag the tag. Prints the version; or what is wrong, with exit
code 1. Needs nothing but Python 3.11.

    versions.py [--tag v0.1.0]"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

# https://semver.org, without build metadata: neither a tag of an image nor Debian's versions have it.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
HEADING = re.compile(r"^## +(.+?) *$", re.MULTILINE)


def locked(root: Path, name: str) -> list[str]:
    packages = tomllib.loads((root / "Cargo.lock").read_text("utf-8"))["package"]
    return [package["version"] for package in packages if package["name"] == name]


def wrong(root: Path, version: str, tag: str | None) -> Iterator[str]:
    if not VERSION.fullmatch(version):
        yield f"Cargo.toml: {version} is not a version"
    if locked(root, "push-exporter") != [version]:
        yield f"Cargo.lock: push-exporter is {locked(root, 'push-exporter')}, not {version}"
    chart = (root / "deploy/helm/push-exporter/Chart.yaml").read_text("utf-8")
    for key in ("version", "appVersion"):
        said = re.findall(rf"^{key}: *[\"']?([^\s\"']+)[\"']?(?: +#.*)?$", chart, re.MULTILINE)
        if said != [version]:
            yield f"Chart.yaml: {key} is {said}, not {version}"
    debian = (root / "deploy/debian/changelog").read_text("utf-8").partition("\n")[0]
    # Debian sorts a ~ before everything, so that a pre-release is older.
    if not debian.startswith(f"push-exporter ({version.replace('-', '~')}-"):
        yield f"deploy/debian/changelog: begins with {debian}, not {version}"
    yield from wrong_heading(root, version, tag is not None)
    if tag is not None and tag != f"v{version}":
        yield f"the tag is {tag}, not v{version}"


def wrong_heading(root: Path, version: str, is_release: bool) -> Iterator[str]:
    headings = HEADING.findall((root / "CHANGELOG.md").read_text("utf-8"))
    newest = headings[0] if headings else "nothing"
    if newest == "Unreleased" and not is_release:
        return
    if not re.fullmatch(re.escape(version) + r" - \d{4}-\d{2}-\d{2}", newest):
        yield f"CHANGELOG.md: the newest section is {newest}, not {version} - YYYY-MM-DD"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="of the repository")
    arguments.add_argument("--tag", help="of the release")
    given = arguments.parse_args()
    version = tomllib.loads((given.root / "Cargo.toml").read_text("utf-8"))["package"]["version"]
    found = list(wrong(given.root, version, given.tag))
    for message in found:
        print(message, file=sys.stderr)
    if not found:
        print(version)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
