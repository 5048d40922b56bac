"""Checks the documents, fast and offline. Prints what was checked, a line each; then what is wrong; exit code 1 if something
is. Needs promtool. What needs a Prometheus is in metrics.py."""

import argparse
import sys
from pathlib import Path

import alerts
import blocks
import links
import metrics
import settings
import tree
import versions
from documents import ROOT

from common import run

CHECKS = [
    ("links", links.links),
    ("the map and other paths", tree.paths),
    ("metrics, names", metrics.names),
    ("metrics, queries", metrics.queries),
    ("other queries", blocks.queries),
    ("keys and flags", settings.settings),
    ("alerts", alerts.alerts),
    ("least versions", versions.versions),
]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, default=ROOT, help="of the repository")
    root = arguments.parse_args().root.resolve()
    wrong = [message for name, check in CHECKS for message in run(name, check(root))]
    for message in wrong:
        print(message, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
