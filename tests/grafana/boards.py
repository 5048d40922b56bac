"""The dashboards as the tests see them: files, panels, queries with the variables filled in as Grafana does for All."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "grafana/dashboards"
RULES = ROOT / "prometheus/rules"

# `$name`, `${name}` and `${name:format}`.
VARIABLE = re.compile(r"\$(?:(\w+)|\{([\w.]+)(?::\w+)?\})")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    file: str
    panel: dict
    query: dict

    @property
    def expr(self) -> str:
        return self.query.get("expr", "")

    @property
    def place(self) -> str:
        return f"{self.file}: {self.panel.get('title')}"


def dashboards(folder: Path = DASHBOARDS) -> dict[str, dict]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def panels(dashboard: dict) -> list[dict]:
    """Without rows; with those that a collapsed row holds."""
    found = []
    for panel in dashboard["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def targets(file: str, dashboard: dict) -> list[Target]:
    return [Target(file, panel, query) for panel in panels(dashboard) for query in panel.get("targets", [])]


def template(dashboard: dict) -> list[dict]:
    return dashboard["templating"]["list"]


def used(text: str) -> set[str]:
    """The variables in a text."""
    return {one or other for one, other in VARIABLE.findall(text)}


def filled(text: str, dashboard: dict, intervals: dict[str, str]) -> str:
    """With All chosen, and Grafana's own intervals as given; what is no variable stays."""
    values = {variable["name"]: variable.get("allValue", "") for variable in template(dashboard)} | intervals
    return VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), text)


def exceptions(path: Path) -> list[dict]:
    """A list of exceptions, each with a reason."""
    listed = yaml.safe_load(path.read_text("utf-8")) or []
    for exception in listed:
        if not exception.get("reason"):
            raise SystemExit(f"{path.name}: an exception without a reason: {exception}")
    return listed
