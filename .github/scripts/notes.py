#!/usr/bin/env python3
"""Prints the notes of a release: the section of CHANGELOG.md with its version, under `## VERSION - YYYY-MM-DD`. Lines that
belong together are joined, since GitHub shows every end of a line.

    notes.py VERSION"""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def sections(changelog: str) -> dict[str, str]:
    """The text under each heading, by the heading; the newest is first."""
    parts = re.split(r"^## +(.+?) *$", changelog, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True))


def of_version(changelog: str, version: str) -> str:
    heading = re.compile(re.escape(version) + r" - \d{4}-\d{2}-\d{2}")
    found = [text for name, text in sections(changelog).items() if heading.fullmatch(name)]
    if not found or not found[0]:
        raise ValueError(f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD` with text")
    return re.sub(r"\n +(?![-*] |\d+\. )(?=\S)", " ", found[0])


def main() -> int:
    _, version = sys.argv
    try:
        print(of_version(CHANGELOG.read_text("utf-8"), version))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
