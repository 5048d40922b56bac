"""The tables of metrics in docs/metrics.md: a row for each metric of /metrics and none that is invented, each
with a query that is valid. With --prometheus the queries are run too.

Usage: metrics.py [--root FOLDER] [--prometheus URL]

The Prometheus should have scraped the demo for some minutes, under the job push-exporter. No query may fail or find
nothing, but for those of MAY_BE_EMPTY. Labels in the tables are those that it has. Exit code 1 if
something is wrong."""

import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from documents import without_blocks

import common
import promql
from promtool import invalid
from queries import Query, ask

FILE = "docs/metrics.md"
# The section with the table of deliveries.
DELIVERIES = "Metrics, each with a query"
SOURCES = ["catalog.rs", "self_metrics.rs", "process.rs"]
# Of every series, and so not in the tables.
COMMON = {"__name__", "job", "instance", "provider", "app", "le"}
# Prometheus' own of each target, and what its rules make.
OTHERS = re.compile(r"up|ALERTS\w*|scrape_\w+|.*:.*")

# Metrics whose query may find nothing in the demo, and why.
MAY_BE_EMPTY = {
    "push_poll_failing": "no report fails",
    "push_unknown_fields_full": "no provider makes up names",
    "push_poll_errors_total": "no poll has failed",
    "push_messages_restated_total": "the simulators take nothing back",
    "push_messages_unaccounted_total": "every message has its row in time",
    "push_window_unaccounted_messages": "no day has settled yet",
    "push_vendor_quota": "quotas begin anew at midnight in Shanghai; a pace over that is negative",
    "push_messages_sent_at_10m_total": "no message is ten minutes old yet",
    "push_messages_received_at_10m_total": "no message is ten minutes old yet",
    "push_objective_ratio": "no app has an objective",
    "push_exporter_web_certificate_expiry_timestamp_seconds": "it serves plain HTTP",
}


@dataclass(frozen=True)
class Row:
    metric: str
    labels: frozenset[str] | None
    query: str


def rows(root: Path) -> Iterator[Row]:
    for table in re.findall(r"^\| metric \|.*\n(?:\|.*\n)+", without_blocks((root / FILE).read_text("utf-8")), re.M):
        for line in table.splitlines()[2:]:
            cells = re.split(r"(?<!\\)\|", line.strip("|"))
            name = re.match(r"`(\w+)(?:\{([\w,]+)\})?`", cells[0].strip())
            queries = re.findall(r"`([^`]+)` *$", cells[-1])
            if not name:
                raise ValueError(f"{FILE}: a row that begins with no metric: {line[:60]}")
            labels = frozenset(name[2].split(",")) if name[2] else None
            yield Row(name[1], labels, queries[0].replace("\\|", "|") if queries else "")


def shown(root: Path) -> set[str]:
    """The names in the source of the metrics."""
    text = "".join((root / "src/metrics" / name).read_text("utf-8") for name in SOURCES)
    return set(re.findall(r'"((?:push|process)_[a-z0-9_]+)"', text))


def family(name: str, known: set[str]) -> str:
    """The metric that a sample is of: of a counter its time of creation, of a histogram its parts."""
    base = re.sub(r"_(bucket|sum|count|created)$", "", name)
    return next((found for found in (name, base, f"{base}_total") if found in known), name)


def names(root: Path) -> Iterator[str]:
    known, listed = shown(root), [row.metric for row in rows(root)]
    for name in sorted(known - set(listed)):
        yield f"{name} has no row"
    for name in sorted(set(listed) - known):
        yield f"{name} is no metric of the page"
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f"{name} has two rows"
    return f"{len(listed)} rows for {len(known)} metrics"


def queries(root: Path) -> Iterator[str]:
    known, listed = shown(root), list(rows(root))
    for row in listed:
        used = {family(selector.metric, known) for selector in promql.selectors(row.query) if selector.metric}
        for name in sorted(used - known):
            yield f"{row.metric}: there is no metric {name}: {row.query}"
        if row.metric not in used:
            yield f"{row.metric}: has no query, or one that does not ask it: {row.query}"
    yield from invalid([row.query for row in listed])
    return f"{len(listed)} queries, valid by promtool, each of its metric"


def answers(root: Path, prometheus: str) -> Iterator[str]:
    empty, listed = [], list(rows(root))
    for row in listed:
        something, error = ask(prometheus, Query(row.metric, "query", {"query": row.query, "time": str(time.time())}))
        if error:
            yield f"{row.metric}: {error}: {row.query}"
        elif not something:
            empty.append(row.metric)
            if row.metric not in MAY_BE_EMPTY:
                yield f"{row.metric}: finds nothing: {row.query}"
    return f"{len(listed) - len(empty)} of {len(listed)} queries find something; known to find nothing: {', '.join(empty)}"


def labels(root: Path, prometheus: str) -> Iterator[str]:
    """What Prometheus has of the exporter is in the tables, with these labels."""
    known, found = shown(root), {}
    url = f"{prometheus.rstrip('/')}/api/v1/series?match[]=%7Bjob%3D%22push-exporter%22%7D"
    with urllib.request.urlopen(url, timeout=60) as answer:
        for series in json.load(answer)["data"]:
            if not OTHERS.fullmatch(series["__name__"]):
                found.setdefault(family(series["__name__"], known), set()).update(series.keys() - COMMON)
    for name in sorted(found.keys() - known):
        yield f"{name}: Prometheus has it, and the source has not"
    elsewhere = delivered(root)
    checked = [row for row in rows(root) if row.metric in found and (row.labels or row.metric not in elsewhere)]
    for row in checked:
        if found[row.metric] != (row.labels or frozenset()):
            yield f"{row.metric}: its labels are {', '.join(sorted(found[row.metric])) or 'none'}"
    if not found:
        yield "Prometheus has nothing of the job push-exporter"
    return f"{len(found)} metrics that Prometheus has, the labels of {len(checked)}"


def delivered(root: Path) -> set[str]:
    """Those whose labels stand once, above their table."""
    section = re.split(rf"^## {DELIVERIES}$", (root / FILE).read_text("utf-8"), flags=re.M)[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(push_messages_\w+)` \|", section, re.M))


def main() -> int:
    arguments = common.parser(__doc__)
    arguments.add_argument("--prometheus", metavar="URL")
    options = arguments.parse_args()
    checks = [("metrics, names", names(options.root)), ("metrics, queries", queries(options.root))]
    if options.prometheus:
        checks.append(("metrics, answers", answers(options.root, options.prometheus)))
        checks.append(("metrics, labels", labels(options.root, options.prometheus)))
    return common.main(checks)


if __name__ == "__main__":
    sys.exit(main())
