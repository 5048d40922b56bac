"""The least Prometheus of docs/install.md: the one that knows everything that rules and queries of the documents use, and
the one that knows what the dashboards use besides."""

import re
from collections.abc import Iterator
from pathlib import Path

import blocks
import metrics

import boards
from repository import Repository

# By Prometheus' change log: since when it knows a function, or what else a query is made of. 2.0 is as far as this looks.
OLD = """abs absent avg avg_over_time bottomk changes clamp_max clamp_min count count_over_time deriv floor
    histogram_quantile increase label_join label_replace max max_over_time min min_over_time quantile_over_time rate
    resets sort sort_desc sum sum_over_time time timestamp topk vector hour day_of_week days_in_month scalar"""
SINCE = dict.fromkeys(OLD.split(), (2, 0)) | dict.fromkeys(["clamp", "last_over_time", "sgn"], (2, 26))
# As in `@ end()`.
SINCE |= {"group": (2, 20), "present_over_time": (2, 29), "end": (2, 33), "start": (2, 33)}
SYNTAX = {r"\[[^\]]*:[^\]]*\]": (2, 7), r"@": (2, 33), r"offset\s+-": (2, 33)}
# Of annotations of alerts.
TEMPLATES = {"externalLabels": (2, 10), "humanizePercentage": (2, 11), "humanizeDuration": (2, 0), "query": (2, 0)}
KEYS = {"alert", "annotations", "expr", "for", "labels", "record"}
NEW_KEYS = {"keep_firing_for": (2, 42)}
WORDS = {"and", "by", "group_left", "group_right", "ignoring", "on", "or", "unless", "without", "bool", "offset"}


def versions(root: Path) -> Iterator[str]:
    repository = Repository(root)
    rules = [rule["expr"] for rule in repository.rules()]
    rules += [row.query for row in metrics.rows(root)] + blocks.blocks(root)
    rules += re.findall(r"^```promql\n(.*?)^```$", repository.runbook_file.read_text("utf-8"), re.M | re.S)
    dashboards = boards.dashboards(root / "grafana/dashboards")
    queries = [target.expr for file, board in dashboards.items() for target in boards.targets(file, board)]
    keys = {key for rule in repository.rules() for key in rule} - KEYS
    for key in sorted(keys - NEW_KEYS.keys()):
        yield f"since when does Prometheus know {key} of rules? Put it into versions.py"
    text = " ".join(" ".join(rule.get("annotations", {}).values()) for rule in repository.rules())
    needed = {since: name for name, since in TEMPLATES.items() if name in text} | (yield from of_queries(rules))
    of_rules = needed | {NEW_KEYS[key]: key for key in keys & NEW_KEYS.keys()}
    least = yield from said(root, "rules", of_rules)
    return f"rules: {least}; dashboards: {yield from said(root, 'dashboards', needed | (yield from of_queries(queries)))}"


def of_queries(queries: list[str]) -> Iterator[str]:
    """The versions that they need, each with what needs it."""
    needed = {}
    for query in queries:
        bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', query)
        for name in sorted(set(re.findall(r"\b([a-z_0-9]+)\s*\(", bare)) - WORDS):
            if name not in SINCE:
                yield f"since when does Prometheus know {name}? Put it into versions.py: {query}"
            needed[SINCE.get(name, (2, 0))] = name
        needed |= {since: pattern for pattern, since in SYNTAX.items() if re.search(pattern, bare)}
    return needed


def said(root: Path, what: str, needed: dict) -> Iterator[str]:
    """What the row of docs/install.md should say, and whether it does."""
    least = ".".join(map(str, max(needed)))
    text = (root / "docs/install.md").read_text("utf-8")
    row = re.search(rf"^\| Prometheus with the {what}[^|]*\| ([\d.]+) \|", text, re.M)
    if not row or row[1] != least:
        yield f"docs/install.md says {row and row[1]} for the {what}; {needed[max(needed)]} needs {least}"
    return f"{least} for {needed[max(needed)]}"
