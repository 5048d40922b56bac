"""The table of docs/alerts.md: each alert of the rules, with its severity, and no other."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from documents import documents  # noqa: F401, for the modules of tests/deploy

from repository import Repository


def alerts(root: Path) -> Iterator[str]:
    severities = defaultdict(set)
    for rule in Repository(root).rules():
        if "alert" in rule:
            severities[rule["alert"]].add(rule["labels"]["severity"])
    rows = re.findall(r"^\| (Push[\w, ]+) \|.*\| ([^|]+) \|$", (root / "docs/alerts.md").read_text("utf-8"), re.M)
    listed = [name for names, _ in rows for name in names.split(", ")]
    for name in sorted(severities.keys() ^ set(listed)):
        yield f"{name} {'has no row' if name in severities else 'is no alert of the rules'}"
    for names, said in rows:
        wanted = set().union(*(severities.get(name, set()) for name in names.split(", ")))
        if set(re.findall(r"critical|warning|info", said)) != wanted:
            yield f"{names}: its severity is {', '.join(sorted(wanted))}, not {said}"
    return f"{len(listed)} alerts with their severities"
