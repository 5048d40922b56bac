"""What Prometheus and Grafana are given: rules and dashboards are those of the repository, and a real Prometheus that scrapes a
demo with the rendered relabelings sees the labels that rules and dashboards need."""

import contextlib
import copy
import functools
import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from common import free_port, read, told
from tools import Rendered

GRAFANA, RUNBOOKS = "{{ $externalLabels.grafana }}", "{{ $externalLabels.runbooks }}"
OF_RELEASE = "https://github.com/push-exporter/push-exporter/blob/vVERSION/prometheus"
# What a set of values makes of the links, and what it leaves out; written by hand.
LINKS = {
    "demo": {RUNBOOKS: OF_RELEASE},
    "readme": {RUNBOOKS: OF_RELEASE, GRAFANA: "https://grafana.example.org"},
    "example-first-day": {RUNBOOKS: OF_RELEASE},
    "example-victoriametrics": {RUNBOOKS: OF_RELEASE, GRAFANA: "https://grafana.example.org"},
    "example-replicas": {RUNBOOKS: OF_RELEASE},
    "full": {RUNBOOKS: "https://runbooks.example.org/full", GRAFANA: "https://grafana.example.org"},
}
LEFT_OUT = {"full": {"deliveries", "push-exporter", "PushDataLate"}}
ADDED = {"full": {"team": "messaging"}}
CHANGED = {"full": {"PushReportFailing": {"for": "45m", "severity": "critical"}}}
EIGHT = """PushChannelFailing PushChannelDeliversNothing PushReportRefused PushReportFailing PushVendorQuotaExhausted
    PushMessageFeedDead PushExporterDown PushLedgerFailing""".split()
MINIMAL = {"demo": EIGHT, "example-first-day": EIGHT}


@functools.cache
def rule_files(root: Path, thresholds: str) -> dict[str, str]:
    """The rule files of the mixin with these thresholds, by name."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.libsonnet")
        settings.write_text(f"{{ _config+:: {thresholds} }}", "utf-8")
        command = [sys.executable, root / "mixin/generate.py", "--settings", settings, "--output", folder]
        subprocess.run(command, check=True, capture_output=True)
        return {path.stem: path.read_text("utf-8") for path in Path(folder, "rules").glob("*.yml")}


def expected(rendered: Rendered, path: Path, version: str) -> list[dict]:
    """The groups of a rule file as the values want them."""
    out = LEFT_OUT.get(rendered.name, set())
    text = path.read_text("utf-8")
    if thresholds := rendered.values["prometheusRule"].get("thresholds"):
        text = rule_files(path.parents[2], json.dumps(thresholds))[path.stem]
    for start, url in LINKS[rendered.name].items():
        text = text.replace(start, url.replace("VERSION", version))
    groups = []
    for group in yaml.safe_load(text)["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in out]
        if rendered.name in MINIMAL:
            kept = [None, *MINIMAL[rendered.name]]
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") in kept]
        for rule in group["rules"]:
            if "alert" in rule:
                rule["labels"] = {**rule.get("labels", {}), **ADDED.get(rendered.name, {})}
                for key, value in CHANGED.get(rendered.name, {}).get(rule["alert"], {}).items():
                    (rule["labels"] if key == "severity" else rule)[key] = value
        if group["name"] not in out and group["rules"]:
            groups.append(group)
    return [] if path.stem in out else groups


def rules(root: Path, rendered: Rendered) -> Iterator[str]:
    version = read(root / "deploy/helm/push-exporter/Chart.yaml")["appVersion"]
    wanted = {path.stem: expected(rendered, path, version) for path in sorted((root / "prometheus/rules").glob("*.yml"))}
    wanted = {name: groups for name, groups in wanted.items() if groups}
    full = rendered.one("StatefulSet")["metadata"]["name"]
    made = {thing["metadata"]["name"].removeprefix(f"{full}-"): thing["spec"]["groups"] for thing in rendered.of("PrometheusRule")}
    for name in sorted(wanted.keys() ^ made.keys()):
        yield f"{rendered.name}: the PrometheusRule {name} is {'missing' if name in wanted else 'not wanted'}"
    for name in wanted.keys() & made.keys():
        if wanted[name] != made[name]:
            yield f"{rendered.name}: the PrometheusRule {name} is not its rule file"
    count = 0
    for name, groups in made.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": groups}, file)
            file.flush()
            good, said = told("promtool", "check", "rules", file.name)
        count += sum(len(group["rules"]) for group in groups)
        if not good:
            yield f"{rendered.name}: promtool check rules, {name}: {said}"
    wanted_labels = rendered.values["prometheusRule"].get("labels", {})
    for thing in rendered.of("PrometheusRule"):
        if not wanted_labels.items() <= thing["metadata"]["labels"].items():
            yield f"{rendered.name}: {thing['metadata']['name']} has not the labels by which it is selected"
    return count


def dashboards(root: Path, rendered: Rendered) -> Iterator[str]:
    given = rendered.values["dashboards"]
    label = {given.get("label", "grafana_dashboard"): given.get("labelValue", "1")}
    folder = {given.get("folderAnnotation", "grafana_folder"): given.get("folder", "Push")}
    made = {}
    for thing in rendered.of("ConfigMap"):
        for name, text in thing["data"].items():
            if not name.endswith(".json"):
                continue
            made[name] = text
            if len(thing["data"]) > 1:
                yield f"{rendered.name}: {thing['metadata']['name']} has {len(thing['data'])} files"
            if not label.items() <= thing["metadata"]["labels"].items():
                yield f"{rendered.name}: {thing['metadata']['name']}: the sidecar does not find it"
            if not folder.items() <= thing["metadata"]["annotations"].items():
                yield f"{rendered.name}: {thing['metadata']['name']}: goes into no folder"
    full = rendered.one("StatefulSet")["metadata"]["name"]
    for thing in rendered.of("GrafanaDashboard"):
        made[thing["metadata"]["name"].removeprefix(f"{full}-") + ".json"] = thing["spec"]["json"]
        if thing["spec"]["folder"] != given.get("folder", "Push"):
            yield f"{rendered.name}: {thing['metadata']['name']}: goes into no folder"
    wanted = {path.name: path.read_text("utf-8") for path in (root / "grafana/dashboards").glob("*.json")}
    for name in sorted(wanted.keys() | made.keys()):
        if wanted.get(name, "").strip() != made.get(name, "").strip() or json.loads(made[name]) != json.loads(wanted[name]):
            yield f"{rendered.name}: {name} is not the repository's"
    return len(made)


# From the keys of a ServiceMonitor's endpoint to those of Prometheus, as the operator turns them.
KEYS = {"honorLabels": "honor_labels", "path": "metrics_path", "scheme": "scheme", "relabelings": "relabel_configs",
        "metricRelabelings": "metric_relabel_configs"}
RELABEL = {"sourceLabels": "source_labels", "targetLabel": "target_label"}


def job(rendered: Rendered, address: str) -> dict:
    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    made: dict = {"job_name": "serviceMonitor/push/name/0", "scrape_interval": "1s"}
    for key, value in endpoint.items():
        if key in ("relabelings", "metricRelabelings"):
            value = [{RELABEL.get(inner, inner): what for inner, what in one.items()} for one in value]
        if key in KEYS:
            made[KEYS[key]] = value
    # What service discovery finds, and the labels that the operator puts on targets; app stands for one of podTargetLabels.
    pod = rendered.one("StatefulSet")["metadata"]["name"] + "-0"
    labels = {"__meta_kubernetes_pod_name": pod, "pod": pod, "namespace": rendered.namespace, "container": "push-exporter",
              "endpoint": "metrics", "service": "the-service", "job": "the-service", "app": "of-the-pod"}
    return {**made, "static_configs": [{"targets": [address], "labels": labels}]}


@contextlib.contextmanager
def running(folder: Path, name: str, *command: object) -> Iterator[subprocess.Popen]:
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def asked(port: int, path: str, **query: str) -> dict | list:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


def evaluated(port: int) -> tuple[list[dict], list[str]]:
    """Rules, and what is wrong with them; all have been evaluated when there is an end to it."""
    end = time.monotonic() + 60
    while True:
        try:
            found = [rule for group in asked(port, "rules")["groups"] for rule in group["rules"]]
        except OSError:
            found = []
        if found and all(rule["health"] != "unknown" for rule in found):
            return found, [f"{rule['name']}: {rule.get('lastError')}" for rule in found if rule["health"] != "ok"]
        if time.monotonic() > end:
            return found, ["rules are not evaluated within a minute"]
        time.sleep(0.5)


def scraped(rendered: Rendered, binary: Path) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        page, port = free_port(), free_port()
        groups = [copy.deepcopy(group) for thing in rendered.of("PrometheusRule") for group in thing["spec"]["groups"]]
        for group in groups:
            group["interval"] = "1s"
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
        config = {"rule_files": ["rules.yml"], "scrape_configs": [job(rendered, f"127.0.0.1:{page}")]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        stack.enter_context(running(folder, "demo", binary, "demo", f"--web.listen-address=127.0.0.1:{page}"))
        flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        stack.enter_context(running(folder, "prometheus", "prometheus", *flags, f"--web.listen-address=127.0.0.1:{port}"))
        found, wrong = evaluated(port)
        yield from wrong
        series, absent, end = [], [], time.monotonic() + 30
        while (not series or absent) and time.monotonic() < end:
            time.sleep(0.5)
            series = asked(port, "query", query="push_up")["result"]
            absent = asked(port, "query", query='ALERTS{alertname=~"PushExporterAbsent|PushExporterDown"}')["result"]
    name = rendered.one("StatefulSet")["metadata"]["name"]
    wanted = {"job": f"{rendered.namespace}/{name}", "instance": f"{name}-0", "pod": f"{name}-0", "namespace": rendered.namespace}
    if not series:
        yield "there are no series push_up"
    for one in series:
        labels = one["metric"]
        if not wanted.items() <= labels.items():
            yield f"a series has {labels}, not {wanted}"
        if labels["app"] == "of-the-pod" or any(label.startswith("exported_") for label in labels):
            yield f"the exporter's labels give way to the target's: {labels}"
    if absent:
        yield f"an exporter that is scraped is taken for absent: {absent}"
    return f"job {wanted['job']}, instance {wanted['instance']}, {len(series)} reports, {len(found)} rules evaluated"
