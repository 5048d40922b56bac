"""Holds the dashboards against the rules of grafana/dashboard-linter, and against some of our own. Not against its rule that
dashboards are not editable: who looks into an incident changes a query, and what is provisioned stays as it is.

Usage: lint.py [--dashboards FOLDER] [--exclusions FILE]

Prints `file: panel: rule: message` for each violation; exit code 1 if there is one. Its rules for Loki have nothing to
look at here. Where the linter looks at some types of panels only, this looks at all of them."""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.models import units

import boards
import promql

HERE = Path(__file__).resolve().parent
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
PANELS = {"timeseries", "stat", "bargauge", "table", "state-timeline", "text", "row"}
# Grafana's own in links and queries.
BUILT_IN = {"__all", "__rate_interval", "__interval", "__range", "__url_time_range"}
INTERVALS = {"__rate_interval": "1m", "__interval": "15s", "__range": "24h"}

# The panel, or "-", and what is wrong.
Found = Iterator[tuple[str, str]]

# The variables of every dashboard by its uid, which links may set.
variables_of: dict[str, set[str]] = {}


# Rules of a dashboard.


def template_datasource_rule(dashboard: dict) -> Found:
    sources = [variable for variable in boards.template(dashboard) if variable["type"] == "datasource"]
    if len(sources) != 1:
        yield "-", f"has {len(sources)} templated data sources, not one"
    for source in sources:
        if source["name"] not in ("datasource", f"{source['query']}_datasource"):
            yield "-", f"the data source variable is named {source['name']}, not datasource"
        if source.get("label") not in ("Data source", f"{source['query'].capitalize()} data source"):
            yield "-", f"the data source variable is labelled {source.get('label')}, not Data source"


def template_job_rule(dashboard: dict) -> Found:
    yield from _template("job", dashboard)


def template_instance_rule(dashboard: dict) -> Found:
    yield from _template("instance", dashboard)


def _template(name: str, dashboard: dict) -> Found:
    variable = next((variable for variable in boards.template(dashboard) if variable["name"] == name), None)
    if variable is None:
        yield "-", f"has no variable {name}"
        return
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+"}
    for key, value in wanted.items():
        if variable.get(key) != value:
            yield "-", f"variable {name}: {key} is {variable.get(key)!r}, not {value!r}"
    if variable.get("datasource", {}).get("uid") not in ("$datasource", "${datasource}"):
        yield "-", f"variable {name}: its data source is not ${{datasource}}"


def template_label_promql_rule(dashboard: dict) -> Found:
    queries = {}
    for variable in boards.template(dashboard):
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            if found:
                queries[variable["name"]] = boards.filled(found[1], dashboard, INTERVALS)
            else:
                yield "-", f"variable {variable['name']}: {variable['query']} is not label_values(selector, label)"
    for name, message in _invalid(queries):
        yield "-", f"variable {name}: {message}"


def template_on_time_change_reload_rule(dashboard: dict) -> Found:
    for variable in boards.template(dashboard):
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield "-", f"variable {variable['name']} is not refreshed when the time range changes"


# Rules of panels.


def panel_datasource_rule(dashboard: dict) -> Found:
    for panel in boards.panels(dashboard):
        for place in [panel, *panel.get("targets", [])]:
            if (place.get("datasource") or {}).get("uid") not in ("$datasource", "${datasource}"):
                yield panel["title"], f"its data source is {place.get('datasource')}, not ${{datasource}}"


def panel_title_description_rule(dashboard: dict) -> Found:
    for panel in boards.panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", ""), f"panel {panel['id']} has no title or no description"


def panel_units_rule(dashboard: dict) -> Found:
    for panel in boards.panels(dashboard):
        overrides = [one for override in panel["fieldConfig"]["overrides"] for one in override["properties"]]
        units_of_panel = [one["value"] for one in overrides if one["id"] == "unit"]
        for unit in [panel["fieldConfig"]["defaults"].get("unit"), *units_of_panel]:
            if unit not in UNITS:
                yield panel["title"], f"has the unit {unit!r}"


def panel_no_targets_rule(dashboard: dict) -> Found:
    for panel in boards.panels(dashboard):
        if panel["type"] != "text" and not panel.get("targets"):
            yield panel["title"], "has no query"


# Rules of queries.


def target_promql_rule(dashboard: dict) -> Found:
    targets = boards.targets("", dashboard)
    queries = {str(place): boards.filled(target.expr, dashboard, INTERVALS) for place, target in enumerate(targets)}
    for place, message in _invalid(queries):
        yield targets[int(place)].panel["title"], message


def target_rate_interval_rule(dashboard: dict) -> Found:
    for panel, selector in _selectors(dashboard):
        if selector.function in ("rate", "irate") and selector.range != "[$__rate_interval]":
            yield panel, f"{selector}: {selector.function} over {selector.range}, not $__rate_interval"


def target_job_rule(dashboard: dict) -> Found:
    yield from _matched("job", dashboard)


def target_instance_rule(dashboard: dict) -> Found:
    yield from _matched("instance", dashboard)


def _matched(label: str, dashboard: dict) -> Found:
    for panel, selector in _selectors(dashboard):
        if (label, "=~", f'"${label}"') not in selector.matchers:
            yield panel, f'{selector}: no {label}=~"${label}"'


def target_counter_agg_rule(dashboard: dict) -> Found:
    for panel, selector in _selectors(dashboard):
        counted = selector.range and selector.function in ("rate", "irate", "increase")
        if selector.metric.endswith("_total") and not counted:
            yield panel, f"{selector}: a counter without rate, irate or increase"


# Our own.


def panel_type_rule(dashboard: dict) -> Found:
    """Types that Grafana 10 to 13 have, none of them deprecated."""
    for panel in dashboard["panels"]:
        if panel["type"] not in PANELS:
            yield panel["title"], f"is a {panel['type']}"


def variables_rule(dashboard: dict) -> Found:
    """Every variable is used, and what is used is a variable. Links name what other dashboards have."""
    names = {variable["name"] for variable in boards.template(dashboard)}
    anywhere = boards.used(json.dumps(dashboard))
    for name in sorted(anywhere - names - BUILT_IN):
        if not name.startswith(("__field.labels.", "__data.fields")):
            yield "-", f"uses ${name}, which is no variable"
    in_queries = set().union(*(boards.used(target.expr) for target in boards.targets("", dashboard)))
    for name in sorted(names - in_queries - {"datasource"}):
        yield "-", f"no query uses the variable {name}"


def own_metrics_rule(dashboard: dict) -> Found:
    """With All chosen, job and instance are any: what every target has is asked of exporters alone."""
    for target in boards.targets("", dashboard):
        metrics = {selector.metric for selector in promql.selectors(target.expr)}
        for metric in metrics:
            if not re.match(r"(\w+:)?push_|ALERTS", metric) and "push_exporter_build_info" not in metrics:
                yield target.panel["title"], f"{metric}: of any target, not of exporters alone"


def links_rule(dashboard: dict) -> Found:
    """A link leads to a dashboard that is there, and sets variables that it has."""
    for panel in boards.panels(dashboard):
        for uid, query in re.findall(r'"url": "/d/([^?"]+)\?([^"\\]*(?:\\.[^"\\]*)*)"', json.dumps(panel)):
            if uid not in variables_of:
                yield panel["title"], f"links to {uid}, which is not there"
                continue
            for name in re.findall(r"var-(\w+)=|\$\{(\w+):queryparam\}", query):
                if (name[0] or name[1]) not in variables_of[uid]:
                    yield panel["title"], f"links to {uid} with {name[0] or name[1]}, which it has not"


def annotation_rule(dashboard: dict) -> Found:
    """Alerts that fire, of our product alone, by the variables that the dashboard has."""
    listed = dashboard["annotations"]["list"]
    for name, message in _invalid({one["name"]: boards.filled(one["target"]["expr"], dashboard, INTERVALS) for one in listed}):
        yield "-", f"annotation {name}: {message}"
    for one in listed:
        expr = one["target"]["expr"]
        if 'product="push-exporter"' not in expr or one["datasource"]["uid"] != "${datasource}":
            yield "-", f"annotation {one['name']}: {expr} of {one['datasource']}"
        for name in boards.used(expr) - variables_of[dashboard["uid"]]:
            yield "-", f"annotation {one['name']}: ${name} is no variable"
    if [one["name"] for one in listed] != ["Alerts"]:
        yield "-", f"has the annotations {[one['name'] for one in listed]}"


def layout_rule(dashboard: dict) -> Found:
    """Ids of panels are unique, and none lies upon another or outside of the 24 columns."""
    shown = dashboard["panels"]
    if len({panel["id"] for panel in shown}) != len(shown):
        yield "-", "an id of a panel is there twice"
    for panel in shown:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            yield panel["title"], "is wider than the dashboard"
    for one, other in itertools.combinations(shown, 2):
        if all(_overlap(one["gridPos"], other["gridPos"], *axis) for axis in ("xw", "yh")):
            yield one["title"], f"lies upon {other['title']}"


def _overlap(one: dict, other: dict, start: str, length: str) -> bool:
    return one[start] < other[start] + other[length] and other[start] < one[start] + one[length]


RULES = [
    template_datasource_rule,
    template_job_rule,
    template_instance_rule,
    template_label_promql_rule,
    template_on_time_change_reload_rule,
    panel_datasource_rule,
    panel_title_description_rule,
    panel_units_rule,
    panel_no_targets_rule,
    target_promql_rule,
    target_rate_interval_rule,
    target_job_rule,
    target_instance_rule,
    target_counter_agg_rule,
    panel_type_rule,
    variables_rule,
    own_metrics_rule,
    links_rule,
    annotation_rule,
    layout_rule,
]


def _selectors(dashboard: dict) -> Iterator[tuple[str, promql.Selector]]:
    for target in boards.targets("", dashboard):
        for selector in promql.selectors(target.expr):
            yield target.panel["title"], selector


def _invalid(queries: dict[str, str]) -> Found:
    """What promtool says of expressions, all of them in one run."""
    rules = [{"record": f"query_{place}", "expr": expr} for place, expr in enumerate(queries.values())]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        file.flush()
        checked = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
    output = checked.stdout + checked.stderr
    errors = re.findall(r'"query_(\d+)": (.+)', output)
    if checked.returncode and not errors:
        raise SystemExit(output)
    for place, message in errors:
        yield list(queries)[int(place)], message


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--dashboards", type=Path, default=boards.DASHBOARDS)
    arguments.add_argument("--exclusions", type=Path, default=HERE / "exclusions.yml")
    options = arguments.parse_args()

    dashboards = boards.dashboards(options.dashboards)
    for dashboard in dashboards.values():
        variables_of[dashboard["uid"]] = {variable["name"] for variable in boards.template(dashboard)}
    exclusions = boards.exceptions(options.exclusions)
    needed = [0] * len(exclusions)
    violations = 0 if dashboards else 1
    for file, dashboard in dashboards.items():
        for rule in RULES:
            name = rule.__name__.replace("_", "-")
            for panel, message in rule(dashboard):
                excluded = [
                    index
                    for index, exclusion in enumerate(exclusions)
                    if exclusion["rule"] == name and re.match(exclusion["match"], message)
                ]
                for index in excluded:
                    needed[index] += 1
                if not excluded:
                    violations += 1
                    print(f"{file}: {panel}: {name}: {message}")
    for exclusion, count in zip(exclusions, needed):
        if not count:
            violations += 1
            print(f"{options.exclusions.name}: -: {exclusion['rule']}: excludes nothing: {exclusion['match']}")
    print(f"{len(dashboards)} dashboards, {len(RULES)} rules, {sum(needed)} exclusions, {violations} violations")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
