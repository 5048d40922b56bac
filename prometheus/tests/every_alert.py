#!/usr/bin/env python3
"""Checks what promtool does not: that every alert of rules/*.yml is tested (it fires, and it stays quiet), says how severe it is
and where to look, that its links lead somewhere, that every recorded series is read, and is the same in every window.

    every_alert.py [folder of rules/, tests/ and RUNBOOK.md] [folder of dashboards]

Needs PyYAML. Prints what is wrong, one line each; exit code 1 if anything is.
"""
import json
import re
import sys
from pathlib import Path

import yaml

PROMETHEUS = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
DASHBOARDS = Path(sys.argv[2] if len(sys.argv) > 2 else PROMETHEUS.parent / "grafana" / "dashboards")
ANNOTATIONS = ("summary", "description", "dashboard_url", "runbook_url")


def read_rules():
    """Groups by name, and alerts as (file, rule)."""
    groups, alerts = {}, []
    for file in sorted(PROMETHEUS.glob("rules/*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            groups[group["name"]] = group
            alerts += [(file.name, rule) for rule in group["rules"] if "alert" in rule]
    return groups, alerts


def read_tests():
    """The alert_rule_tests of all files."""
    for file in sorted(PROMETHEUS.glob("tests/*.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            yield from test.get("alert_rule_test", [])


def named(file, rule):
    labels = ", ".join(f"{name}={value}" for name, value in sorted(rule.get("labels", {}).items()))
    return f"{file}: {rule['alert']} ({labels or 'no labels'})"


def rule_of(alerts, name, labels):
    """Which of the rules of a name an expected alert is of: the one with the most labels of its own among those that fit."""
    fitting = [
        index
        for index, (_, rule) in enumerate(alerts)
        if rule["alert"] == name and rule.get("labels", {}).items() <= labels.items()
    ]
    return max(fitting, key=lambda index: len(alerts[index][1].get("labels", {})), default=None)


def untested(alerts):
    fired, quiet = set(), set()
    for test in read_tests():
        expected = test.get("exp_alerts") or []
        if not expected:
            quiet.add(test["alertname"])
        for alert in expected:
            fired.add(rule_of(alerts, test["alertname"], alert.get("exp_labels") or {}))
    for index, (file, rule) in enumerate(alerts):
        if index not in fired:
            yield f"{named(file, rule)}: no test in which it fires"
        if rule["alert"] not in quiet:
            yield f"{named(file, rule)}: no test in which it stays quiet"


def unsaid(alerts):
    for file, rule in alerts:
        if not rule.get("labels", {}).get("severity"):
            yield f"{named(file, rule)}: no severity"
        if rule.get("labels", {}).get("product") != "push-exporter":
            yield f"{named(file, rule)}: not of this product"
        for annotation in ANNOTATIONS:
            if not rule.get("annotations", {}).get(annotation):
                yield f"{named(file, rule)}: no {annotation}"


def lost(alerts):
    runbook = PROMETHEUS / "RUNBOOK.md"
    text = re.sub(r"^```.*?^```", "", runbook.read_text() if runbook.exists() else "", flags=re.DOTALL | re.MULTILINE)
    headings = set(re.findall(r"^#+ +(\S+) *$", text, re.MULTILINE))
    dashboards = {}
    for file in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(file.read_text())
        dashboards[dashboard["uid"]] = {variable["name"] for variable in dashboard.get("templating", {}).get("list", [])}
    for file, rule in alerts:
        name = rule["alert"]
        runbook_url = rule.get("annotations", {}).get("runbook_url", "")
        if not runbook_url.endswith(f"/RUNBOOK.md#{name.lower()}"):
            yield f"{named(file, rule)}: runbook_url does not end in /RUNBOOK.md#{name.lower()}"
        if name not in headings:
            yield f"{named(file, rule)}: no heading {name} in {runbook}"
        dashboard_url = rule.get("annotations", {}).get("dashboard_url", "")
        uid = re.search(r"/d/([^/?]+)", dashboard_url)
        if not uid or uid[1] not in dashboards:
            yield f"{named(file, rule)}: dashboard_url is of none of the dashboards {', '.join(dashboards) or '(there are none)'}"
        else:
            for variable in re.findall(r"[?&]var-([^=&]+)=", dashboard_url):
                if variable not in dashboards[uid[1]]:
                    yield f"{named(file, rule)}: dashboard {uid[1]} has no variable {variable}"


def unequal(groups):
    """The same metric has the same expression in every window. Only the volume of a day has what is counted by day."""
    found = {}
    for window in ("1h", "6h", "1d"):
        for rule in groups.get(f"push-funnel-{window}", {}).get("rules", []):
            expr = rule["expr"].replace(f"increase{window}", "increase").replace(f"[{window}]", "[]")
            if rule["record"].startswith("channel:push_messages_sent:increase"):
                expr, daily, _ = expr.partition("  unless on (job, provider, app) push_window_end_timestamp_seconds")
                if bool(daily) == (window == "1d"):
                    yield f"recording.yml: {rule['record']} has what is counted by day in the volume of hours, or not in that of a day"
            metric = rule["record"].replace(f"increase{window}", "increase")
            if found.setdefault(metric, expr) != expr:
                yield f"recording.yml: {rule['record']} is not what it is in another window"


def unread(groups, alerts):
    """What is recorded costs every server that has the rules: somebody must read it."""
    recorded = {rule["record"]: rule["expr"] for group in groups.values() for rule in group["rules"] if "record" in rule}
    texts = [json.dumps(rule) for _, rule in alerts] + [file.read_text() for file in sorted(DASHBOARDS.glob("*.json"))]
    reads = lambda text: {name for name in recorded if re.search(re.escape(name) + r"(?![\w:])", text)}
    todo, read = reads("\n".join(texts)), set()
    while todo:
        name = todo.pop()
        read.add(name)
        todo |= reads(recorded[name]) - read
    for name in sorted(recorded.keys() - read):
        yield f"recording.yml: {name} is read by no alert, no dashboard and no rule that is read"


def main():
    groups, alerts = read_rules()
    wrong = [*untested(alerts), *unsaid(alerts), *lost(alerts), *unequal(groups), *unread(groups, alerts)]
    print("\n".join(wrong) if wrong else f"{len(alerts)} alerts: tested, described and linked")
    sys.exit(1 if wrong else 0)


main()
