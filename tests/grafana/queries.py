"""Runs every query of the dashboards, every variable and every rule against a Prometheus that scrapes an exporter.

Usage: queries.py --prometheus URL [--time UNIX] [--expect-empty FILE]

None may fail, take more than a second, or find nothing; what may find nothing stands in FILE with its reason. The
exporter should have been scraped for a quarter of an hour: some numbers come ten minutes after a message. Exit code 1
if something is wrong."""

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

import boards

HERE = Path(__file__).resolve().parent
LIMIT = 1.0  # seconds
POINTS = 200  # of a line
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Query:
    name: str
    path: str
    parameters: dict[str, str]
    may_be_empty: bool = False


def of_dashboards(now: float) -> Iterator[Query]:
    for file, dashboard in boards.dashboards().items():
        back = dashboard["time"]["from"].removeprefix("now-")
        length = int(back[:-1]) * UNITS[back[-1]]
        # What Grafana takes with an interval of 15 s.
        step = max(length // POINTS, 15)
        intervals = {"__interval": f"{step}s", "__rate_interval": f"{max(step + 15, 60)}s", "__range": f"{length}s"}
        span = {"start": str(now - length), "end": str(now)}

        for variable in boards.template(dashboard):
            if variable["type"] == "query":
                selector, label = variable["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                selector = boards.filled(selector, dashboard, intervals)
                name = f"{file}: variable {variable['name']}"
                yield Query(name, f"label/{label}/values", {"match[]": selector, **span})

        for target in boards.targets(file, dashboard):
            name = f"{target.place}: {target.query['refId']}"
            query = {"query": boards.filled(target.expr, dashboard, intervals)}
            if target.query.get("instant"):
                yield Query(name, "query", query | {"time": str(now)})
            else:
                yield Query(name, "query_range", query | span | {"step": str(step)})


def of_rules(now: float) -> Iterator[Query]:
    for file in sorted(boards.RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                # An alert that finds nothing is a good one.
                name = f"{file.name}: {rule.get('record') or rule['alert']}"
                yield Query(name, "query", {"query": rule["expr"], "time": str(now)}, may_be_empty="alert" in rule)


def ask(prometheus: str, query: Query) -> tuple[bool, str]:
    """Whether there was something, and the error."""
    url = f"{prometheus.rstrip('/')}/api/v1/{query.path}"
    parameters = urllib.parse.urlencode(query.parameters)
    # Labels can only be read by GET; queries may be longer than a URL.
    by_get = query.path.startswith("label")
    request = f"{url}?{parameters}" if by_get else urllib.request.Request(url, parameters.encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            data = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return False, json.load(error).get("error", str(error))
    except urllib.error.URLError as error:
        raise SystemExit(f"{prometheus}: {error.reason}")
    if isinstance(data, list):
        return bool(data), ""
    samples = [sample for series in data["result"] for sample in series.get("values") or [series["value"]]]
    return any(value != "NaN" for _, value in samples), ""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--prometheus", required=True, metavar="URL")
    arguments.add_argument("--time", type=float, default=time.time(), metavar="UNIX")
    arguments.add_argument("--expect-empty", type=Path, default=HERE / "expect-empty.yml", metavar="FILE")
    options = arguments.parse_args()

    exceptions = boards.exceptions(options.expect_empty)
    needed, took, problems = [False] * len(exceptions), [], []
    for query in [*of_dashboards(options.time), *of_rules(options.time)]:
        start = time.monotonic()
        something, error = ask(options.prometheus, query)
        took.append((time.monotonic() - start, query.name))
        if error:
            problems.append(f"{query.name}: {error}")
        elif took[-1][0] > LIMIT:
            problems.append(f"{query.name}: took {took[-1][0]:.2f} s")
        elif not something and not query.may_be_empty:
            matching = [place for place, exception in enumerate(exceptions) if re.match(exception["query"], query.name)]
            for place in matching:
                needed[place] = True
            if not matching:
                asked = query.parameters.get("query") or query.parameters["match[]"]
                problems.append(f"{query.name}: finds nothing: {' '.join(asked.split())}")
    for exception, empty in zip(exceptions, needed):
        if not empty and not exception.get("may"):
            problems.append(f"{options.expect_empty.name}: not empty: {exception['query']}")

    print(f"{len(took)} queries in {sum(seconds for seconds, _ in took):.1f} s; the slowest:")
    for seconds, name in sorted(took, reverse=True)[:5]:
        print(f"{seconds * 1000:7.0f} ms  {name}")
    print(*problems, f"{len(problems)} problems", sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
