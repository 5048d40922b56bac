"""The queries of the documents that stand in blocks of their own: valid, and of metrics that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

from documents import documents

import promql
from promtool import invalid
from repository import Repository


def blocks(root: Path) -> list[str]:
    """Those of the runbook are checked by tests/deploy."""
    texts = [path.read_text("utf-8") for path in documents(root) if path.name != "RUNBOOK.md"]
    return [query.strip() for text in texts for query in re.findall(r"^ *```promql\n(.*?)^ *```$", text, re.M | re.S)]


def queries(root: Path) -> Iterator[str]:
    found, known = blocks(root), Repository(root).metrics()
    for query in found:
        for metric in {selector.metric for selector in promql.selectors(query)}:
            if metric not in known and re.sub(r"_created$", "_total", metric) not in known:
                yield f"there is no metric {metric}: {query}"
    yield from invalid(found)
    return f"{len(found)} queries, valid by promtool, of metrics that exist"
