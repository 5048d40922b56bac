"""The files that are checked, and what they are made of: services, rules, alerts with their labels, metrics, dashboards."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from common import read

# Series that are not the exporter's.
OTHERS = {"up", "ALERTS", "process_start_time_seconds"}


class Repository:
    def __init__(self, root: Path, compose_file: str = "deploy/compose.yml"):
        self.root = root
        self.compose_file = root / compose_file
        self.alertmanager_file = root / "deploy/alertmanager.yml"
        self.runbook_file = root / "prometheus/RUNBOOK.md"
        self.rule_files = sorted((root / "prometheus/rules").glob("*.yml"))

    @property
    def services(self) -> dict:
        return read(self.compose_file)["services"]

    def beside(self, source: str) -> Path:
        """What compose.yml mounts or builds: its paths begin beside it."""
        return self.compose_file.parent / source

    def rules(self) -> Iterator[dict]:
        for path in self.rule_files:
            for group in read(path)["groups"]:
                yield from group["rules"]

    def alerts(self) -> list[str]:
        """In the order of the files, each once."""
        return list(dict.fromkeys(rule["alert"] for rule in self.rules() if "alert" in rule))

    def labels(self) -> dict[str, set[frozenset[str]]]:
        """The names of the labels that each alert has, without its own name: as promtool's tests expect them."""
        found: dict[str, set[frozenset[str]]] = {}
        for path in sorted((self.root / "prometheus/tests").glob("*.yml")):
            for expected in (expected for test in read(path)["tests"] for expected in test.get("alert_rule_test", [])):
                for fired in expected.get("exp_alerts") or []:
                    found.setdefault(expected["alertname"], set()).add(frozenset(fired["exp_labels"]))
        return found

    def metrics(self) -> set[str]:
        """What the exporter shows, by the names in its source, and what the rules record."""
        shown = set(OTHERS)
        for path in (self.root / "src/metrics").glob("*.rs"):
            shown |= set(re.findall(r'"(push_[a-z0-9_]+)"', path.read_text("utf-8")))
        return shown | {rule["record"] for rule in self.rules() if "record" in rule}

    def dashboards(self) -> dict[str, dict]:
        return {
            board["uid"]: board
            for path in sorted((self.root / "grafana/dashboards").glob("*.json"))
            for board in [json.loads(path.read_text("utf-8"))]
        }
