"""Checks the documents, fast and offline. Prints what was checked, a line each; then what is wrong; exit code 1 if something
is. Needs promtool. What needs a Prometheus is in metrics.py."""

import sys

import alerts
import blocks
import links
import metrics
import settings
import tree
import versions

import common

CHECKS = [
    ("links", links.links),
    ("the map and other paths", tree.paths),
    ("placeholders", tree.placeholders),
    ("metrics, names", metrics.names),
    ("metrics, queries", metrics.queries),
    ("other queries", blocks.queries),
    ("keys and flags", settings.settings),
    ("alerts", alerts.alerts),
    ("least versions", versions.versions),
]


def main() -> int:
    root = common.parser(__doc__).parse_args().root.resolve()
    return common.main([(name, check(root)) for name, check in CHECKS], ["promtool"])


if __name__ == "__main__":
    sys.exit(main())
