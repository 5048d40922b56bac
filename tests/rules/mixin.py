"""Checks the mixin: its output with default settings is what is committed, and settings change what they say. Needs promtool."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATE = [sys.executable, str(ROOT / "mixin" / "generate.py")]


def generated(settings):
    """The alerts by name, the recorded expressions by name, and the dashboards, with these settings. promtool takes the rules."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "settings.libsonnet").write_text(f"{{ _config+:: {{ {settings} }} }}")
        subprocess.run([*GENERATE, "--settings", folder / "settings.libsonnet", "--output", folder], check=True)
        files = sorted(folder.glob("rules/*.yml"))
        subprocess.run(["promtool", "check", "rules", *files], check=True, stdout=subprocess.DEVNULL)
        rules = [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
        alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
        recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
        dashboards = {file.name: json.loads(file.read_text()) for file in folder.glob("dashboards/*.json")}
        return alerts, recorded, dashboards


def expect(is_so, what):
    if not is_so:
        raise SystemExit(f"mixin: {what}")


def main():
    subprocess.run([*GENERATE, "--check"], check=True)
    plain, recorded_plainly, dashboards = generated("")
    for name, model in dashboards.items():
        committed = json.loads((ROOT / "grafana" / "dashboards" / name).read_text())
        expect(model == committed, f"{name} is not what is committed")

    alerts, recorded, dashboards = generated("""selector: 'env="prod"'""")
    expressions = [*recorded.values(), *(alert["expr"] for alert in alerts.values())]
    own = [expression for expression in expressions if "push_exporter_" in expression or "(push_messages_" in expression]
    expect(len(own) > 30, "too few expressions read series of the exporter")
    expect(all('env="prod"' in expression for expression in own), "a series is read without the selector")
    expect(recorded.keys() == recorded_plainly.keys(), "a selector changes what is recorded")
    variables = {variable["name"]: variable for variable in dashboards["push-overview.json"]["templating"]["list"]}
    expect('{env="prod"}' in variables["job"]["query"], "the dashboards list other jobs too")
    expect(variables["job"]["allValue"] is None, "All of the jobs means all series")

    minimal, _, _ = generated("set: 'minimal'")
    expect(len(minimal) == 8, f"the minimal set has {len(minimal)} alerts: {', '.join(minimal)}")
    template = (ROOT / "deploy/helm/push-exporter/templates/prometheusrules.yaml").read_text()
    listed = re.search(r"has \.alert \(list ([^)]*)\)", template)[1]
    expect(set(re.findall(r'"(\w+)"', listed)) == minimal.keys(), "the chart's minimal set is another one")
    fewer, _, _ = generated("disabled: ['PushChannelSlow']")
    expect(plain.keys() - fewer.keys() == {"PushChannelSlow"}, "disabled leaves out something else")

    changed, _, _ = generated(
        "hourVolume: 7, overrides: { PushChannelSlow: { severity: 'critical', 'for': '42m' } }, alertLabels: { team: 'push' }, "
        "runbookUrl: 'https://wiki.example/push', grafanaUrl: 'https://grafana.example'"
    )
    slow = changed["PushChannelSlow"]
    expect(slow["labels"]["severity"] == "critical" and slow["for"] == "42m", "overrides do not hold")
    expect("increase1h > 7\n" in slow["expr"], "a threshold does not hold")
    expect(all(alert["labels"]["team"] == "push" for alert in changed.values()), "alertLabels do not hold")
    links = changed["PushLedgerFailing"]["annotations"]
    expect(links["runbook_url"] == "https://wiki.example/push#pushledgerfailing", "runbookUrl does not hold")
    expect(links["dashboard_url"].startswith("https://grafana.example/d/push-exporter?"), "grafanaUrl does not hold")


if __name__ == "__main__":
    main()
