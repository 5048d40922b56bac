"""Checks what operators are given around the rules: deploy/, prometheus/prometheus.yml, RUNBOOK.md, Grafana's provisioning.

Usage: check.py [--root FOLDER]

Prints what was checked, a line each; then what is wrong; exit code 1 if something is. Needs prometheus with promtool and
prometheus-alertmanager with amtool. Nothing is started but Alertmanagers and a receiver of their notifications, on
127.0.0.1."""

import argparse
import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import yaml

HERE = Path(__file__).resolve().parent
# Series that are not the exporter's.
OTHERS = {"up", "ALERTS", "process_start_time_seconds"}
# The label sets of alerts, as `amtool config routes test` takes them, and who is told.
ROUTES = [
    ("alertname=PushChannelFailing severity=critical provider=easemob app=chat channel=huawei", "page"),
    ("alertname=PushExporterAbsent severity=critical", "page"),
    ("alertname=PushReportRefused severity=critical provider=jpush app=shop report=received_detail", "page"),
    ("alertname=PushReportRefused severity=warning provider=jpush app=shop report=users", "chat"),
    ("alertname=PushDataLate severity=warning provider=feishu app=office-bot", "chat"),
    ("alertname=PushUnknownFields severity=info provider=jpush report=users", "chat"),
    ("alertname=PushOfALaterRelease", "chat"),
]


def of(keys: dict, **more: object) -> dict:
    """The schema of a mapping with these keys and no others."""
    return {"type": "object", "properties": keys, "additionalProperties": False, **more}


def matching(pattern: str) -> dict:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def unique(item: dict) -> dict:
    return {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}


def by_name(value: dict) -> dict:
    return of({}, patternProperties={r"^[a-zA-Z0-9._-]+$": value}, minProperties=1)


# The keys of the Compose Specification that compose.yml uses, each in the one form in which it uses it. A key that is not
# here is an error: add it, as the Specification has it.
STRING = {"type": "string"}
DURATION = matching(r"(\d+(us|ms|s|m|h))+")
SERVICE = of(
    {
        "image": matching(r"[a-z0-9][a-z0-9./_-]*:[\w.-]+(@sha256:[0-9a-f]{64})?"),
        "build": matching(r"[./].*"),
        "command": {"type": "array", "items": STRING, "minItems": 1},
        "environment": by_name(STRING),
        "ports": unique(matching(r"(\d{1,3}(\.\d{1,3}){3}:)?\d{1,5}:\d{1,5}(/(tcp|udp))?")),
        # Beside this file, or a volume by its name.
        "volumes": unique(matching(r"(\.{1,2}/[^:]+|[a-zA-Z0-9][a-zA-Z0-9._-]*):/[^:]*(:(ro|rw))?")),
        "tmpfs": unique(matching(r"/[^:]*")),
        "read_only": {"type": "boolean"},
        "restart": matching(r"no|always|on-failure(:\d+)?|unless-stopped"),
        "cap_drop": unique(matching(r"[A-Z_]+")),
        "security_opt": unique(STRING),
        "healthcheck": of(
            {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": STRING, "minItems": 2},
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            required=["test"],
        ),
    },
    oneOf=[{"required": ["image"]}, {"required": ["build"]}],
)
COMPOSE = of(
    {"name": matching(r"[a-z0-9][a-z0-9_-]*"), "services": by_name(SERVICE), "volumes": by_name({"type": "null"})},
    required=["name", "services"],
    patternProperties={"^x-": {}},
)


class Strict(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win; here it is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


class Checks:
    """What was found. Each check is a generator of what is wrong, and what it returns says what was checked."""

    def __init__(self):
        self.wrong: list[str] = []

    def run(self, name: str, check: Iterator[str]) -> None:
        found = []
        try:
            while True:
                found.append(next(check))
        except StopIteration as end:
            said = end.value
        except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError, json.JSONDecodeError) as error:
            said, found = None, [*found, f"cannot be checked: {type(error).__name__}: {error}"]
        self.wrong += [f"{name}: {message}" for message in found]
        print(f"{'FAILED' if found else 'ok':6}  {name}: {said or 'see below'}", flush=True)


def read(path: Path):
    return yaml.load(path.read_text("utf-8"), Strict)


def told(*command: object) -> tuple[bool, str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


# What the files are made of.


class Repository:
    def __init__(self, root: Path):
        self.root = root
        self.compose_file = root / "deploy/compose.yml"
        self.alertmanager_file = root / "deploy/alertmanager.yml"
        self.prometheus_file = root / "prometheus/prometheus.yml"
        self.runbook_file = root / "prometheus/RUNBOOK.md"
        self.rule_files = sorted((root / "prometheus/rules").glob("*.yml"))

    @property
    def services(self) -> dict:
        return read(self.compose_file)["services"]

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
        for path in (self.root / "src/page").glob("*.rs"):
            shown |= set(re.findall(r'"(push_[a-z0-9_]+)"', path.read_text("utf-8")))
        return shown | {rule["record"] for rule in self.rules() if "record" in rule}

    def dashboards(self) -> dict[str, dict]:
        return {
            board["uid"]: board
            for path in sorted((self.root / "grafana/dashboards").glob("*.json"))
            for board in [json.loads(path.read_text("utf-8"))]
        }


def binds(service: dict) -> Iterator[tuple[str, str, str]]:
    """Folders and files of the repository: source, target, options. A named volume has no slash in its source."""
    for volume in service.get("volumes", []):
        source, target, *options = volume.split(":")
        if "/" in source:
            yield source, target, ":".join(options)


def named(service: dict) -> Iterator[str]:
    for volume in service.get("volumes", []):
        if "/" not in volume.split(":")[0]:
            yield volume.split(":")[0]


def ports(service: dict) -> Iterator[tuple[str, str, str]]:
    for port in service.get("ports", []):
        host, published, inside = ("", *port.split(":"))[-3:] if port.count(":") < 2 else port.rsplit(":", 2)
        yield host, published, inside


def is_service(services: dict, host: str | None, port: int | str | None) -> str | None:
    """What is wrong with an address inside the Compose network."""
    if host not in services:
        return f"{host} is no service of compose.yml"
    inside = [inside for _, _, inside in ports(services[host])]
    return None if str(port) in inside else f"the service {host} listens on {', '.join(inside)}, not on {port}"


# deploy/compose.yml.


def compose_keys(repository: Repository) -> Iterator[str]:
    everything = read(repository.compose_file)
    errors = jsonschema.Draft202012Validator(COMPOSE).iter_errors(everything)
    for error in sorted(errors, key=lambda error: list(map(str, error.path))):
        message = "has image and build, or neither" if error.validator == "oneOf" else error.message
        yield f"{'.'.join(map(str, error.path)) or 'the file'}: {message}"
    return f"the keys of {len(everything['services'])} services, and their values, are of the Compose Specification"


def compose_services(repository: Repository) -> Iterator[str]:
    everything = read(repository.compose_file)
    published: list[str] = []
    mounted = 0
    for name, service in everything["services"].items():
        if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service.get("image", "")) and "build" not in service:
            yield f"{name}: image {service.get('image')} is not pinned to a release"
        for wanted in ("healthcheck", "restart", "cap_drop", "security_opt", "ports"):
            if not service.get(wanted):
                yield f"{name}: has no {wanted}"
        for host, outside, inside in ports(service):
            published.append(outside)
            if host != "127.0.0.1":
                yield f"{name}: port {outside} is open to {host or 'everybody'}, not to 127.0.0.1 alone"
            test = " ".join(service.get("healthcheck", {}).get("test", []))
            if (asked := re.search(r"http://([\w.]+):(\d+)", test)) and asked.groups() != ("127.0.0.1", inside):
                yield f"{name}: the health check asks {asked[0]}, the service listens on {inside}"
        for source, target, options in binds(service):
            mounted += 1
            if not (repository.compose_file.parent / source).exists():
                yield f"{name}: {source} is mounted and does not exist"
            if "ro" not in options.split(","):
                yield f"{name}: {source} is mounted to be written"
            if not target.startswith("/"):
                yield f"{name}: {target} is no absolute path"
        for volume in named(service):
            if volume not in everything["volumes"]:
                yield f"{name}: the volume {volume} is not declared"
        build = service.get("build")
        if build and not (repository.compose_file.parent / build).is_dir():
            yield f"{name}: {build}, which is built, is no folder"
        if build and not (repository.compose_file.parent / build / "Dockerfile").exists():
            print(f"later   compose.yml: {name} is built from a Dockerfile that is not there yet")
    for volume in everything["volumes"]:
        if not any(volume in named(service) for service in everything["services"].values()):
            yield f"the volume {volume} is not used"
    for port in {port for port in published if published.count(port) > 1}:
        yield f"port {port} is published twice"
    return f"{len(published)} ports on 127.0.0.1, {mounted} mounts that are there and read-only, images pinned, health checks"


def compose_commands(repository: Repository) -> Iterator[str]:
    """Flags by the help of Debian's releases, which are older than the images; the exporter's commands by its source."""
    known, tried = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}, 0
    for name, program in known.items():
        _, text = told(program, "--help")
        for argument in repository.services[name]["command"]:
            tried += 1
            if not re.search(rf"{re.escape(argument.split('=')[0])}(?![\w.-])", text):
                yield f"{name}: {program} does not know {argument.split('=')[0]}"
    exporter = repository.services["exporter"]
    source = (repository.root / "src/cli.rs").read_text("utf-8")
    listed = source.split("pub enum Command {")[1].split("\n}")[0]
    commands = [name.lower() for name in re.findall(r"^    (\w+)[,({ ]", listed, re.M)]
    for command in (exporter["command"][0], exporter["healthcheck"]["test"][2]):
        tried += 1
        if command not in commands:
            yield f"exporter: {command} is none of its commands {', '.join(commands)}"
    return f"{tried} flags and commands that their programs know"


# Prometheus.


@contextlib.contextmanager
def as_mounted(repository: Repository, name: str) -> Iterator[Path]:
    """A folder with everything that a service has mounted, where it has it."""
    with tempfile.TemporaryDirectory(prefix="push-exporter-deploy-") as folder:
        for source, target, _ in binds(repository.services[name]):
            path, place = repository.compose_file.parent / source, Path(folder) / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
        yield Path(folder)


def flag(service: dict, name: str) -> str:
    return next((part.split("=", 1)[1] for part in service["command"] if part.startswith(name + "=")), "")


def prometheus_config(repository: Repository) -> Iterator[str]:
    services = repository.services
    with as_mounted(repository, "prometheus") as folder:
        place = folder / flag(services["prometheus"], "--config.file").lstrip("/")
        if not place.exists():
            yield f"--config.file of compose.yml is nothing that is mounted: {place.relative_to(folder)}"
            return None
        good, text = told("promtool", "check", "config", place)
        if not good:
            yield f"promtool check config: {text}"
        config, matched = read(place), []
        for pattern in config.get("rule_files", []):
            found = list(place.parent.glob(pattern)) if not pattern.startswith("/") else list(folder.glob(pattern[1:]))
            if not found:
                yield f"rule_files: {pattern} matches nothing"
            matched += [path.name for path in found]
        for path in repository.rule_files:
            if path.name not in matched:
                yield f"rule_files: {path.name} is not among them"
    external = config["global"].get("external_labels", {})
    used = set(re.findall(r"externalLabels\.(\w+)", "".join(path.read_text("utf-8") for path in repository.rule_files)))
    for label in sorted(used - external.keys()):
        yield f"external_labels: the rules use {label}"
    for label in used & external.keys():
        if not re.fullmatch(r"https?://\S+[^/\s]", external[label]):
            yield f"external_labels: {label} is no URL without a slash at its end: {external[label]}"
        dropped = config["alerting"].get("alert_relabel_configs", [])
        if not any(drop["action"] == "labeldrop" and re.fullmatch(drop["regex"], label) for drop in dropped):
            yield f"alert_relabel_configs: {label} is not dropped"
    addresses = 0
    for job in config["scrape_configs"]:
        if job.get("honor_labels") is not True:
            yield f"{job['job_name']}: honor_labels is not true"
    for job in [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]:
        for target in (target for static in job["static_configs"] for target in static["targets"]):
            addresses += 1
            if wrong := is_service(services, *target.rsplit(":", 1)):
                yield f"{target}: {wrong}"
    # The recorded history that rules look back on, with a day to spare.
    spans = (span for rule in repository.rules() for span in re.findall(r"(?:offset |\[)(\d+)([wd])", rule["expr"]))
    back = [int(number) * (7 if unit == "w" else 1) for number, unit in spans]
    retention = re.fullmatch(r"(\d+)d", flag(services["prometheus"], "--storage.tsdb.retention.time"))
    if not retention or int(retention[1]) < max(back) + 2:
        yield f"--storage.tsdb.retention.time: rules look back {max(back)} days"
    return f"promtool takes it as mounted, {len(matched)} rule files, {addresses} addresses, {len(external)} external labels"


def prometheus_rules(repository: Repository) -> Iterator[str]:
    good, text = told("promtool", "check", "rules", *repository.rule_files)
    if not good:
        yield f"promtool check rules: {text}"
    headings = anchors(repository.runbook_file.read_text("utf-8"))
    boards, links = repository.dashboards(), 0
    for rule in repository.rules():
        if "alert" not in rule:
            continue
        name, said = rule["alert"], rule["annotations"]
        if said["runbook_url"] != "{{ $externalLabels.runbooks }}/RUNBOOK.md#" + name.lower() or name.lower() not in headings:
            yield f"{name}: runbook_url leads nowhere: {said['runbook_url']}"
        link = urlsplit(re.sub(r"{{.*?}}", "X", said["dashboard_url"]))
        uid = link.path.rsplit("/", 1)[-1]
        if not said["dashboard_url"].startswith("{{ $externalLabels.grafana }}/d/") or uid not in boards:
            yield f"{name}: dashboard_url leads to no dashboard: {said['dashboard_url']}"
            continue
        variables = {variable["name"] for variable in boards[uid]["templating"]["list"]}
        for unknown in {key.removeprefix("var-") for key in parse_qs(link.query)} - variables:
            yield f"{name}: the dashboard {uid} has no variable {unknown}"
        links += 2
    return f"promtool takes {len(repository.rule_files)} files; {links} links of alerts to dashboards and to the runbook"


# RUNBOOK.md.


def anchors(text: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)]


def runbook_names(repository: Repository) -> Iterator[str]:
    text = repository.runbook_file.read_text("utf-8")
    alerts = repository.alerts()
    sections = [title for title in re.findall(r"^## (.+)$", text, re.M) if re.fullmatch(r"Push\w+", title)]
    for name in alerts:
        if name not in sections:
            yield f"{name} has no section"
    for name in sorted(set(re.findall(r"\bPush[A-Z]\w+\b(?!\.\*)", text)) - set(alerts)):
        yield f"{name} is no alert of the rules"
    if not set(alerts) ^ set(sections) and alerts != sections:
        yield f"the sections are not in the order of the rules: {', '.join(alerts)}"
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        name, body = section.split("\n", 1)
        body = body.replace("**Likely causes and what to do.**", "**Likely causes.** **Do.**")
        for wanted in ("Means", "Look first", "Likely causes", "Do", "Ends", "False alarms"):
            if name in alerts and not re.search(rf"\*\*{wanted}(\.\*\*|\*\* )", body):
                yield f"{name} says nothing of: {wanted}"
    known = anchors(text)
    linked = re.findall(r"\]\(#([^)]+)\)", text)
    for link in sorted(set(linked) - set(known)):
        yield f"#{link} leads nowhere"
    titles = {board["title"]: {panel["title"] for panel in panels(board["panels"])} for board in repository.dashboards().values()}
    quoted = re.findall(r"\*(Push / [^:*]+): ([^*]+)\*", re.sub(r"\s+", " ", text))
    for board, panel in sorted(set(quoted)):
        if panel not in titles.get(board, ()):
            yield f"there is no panel “{panel}” in the dashboard “{board}”"
    for uid in sorted(set(re.findall(r"`(push-[a-z]+)`", text)) - repository.dashboards().keys()):
        yield f"there is no dashboard {uid}"
    return f"{len(sections)} sections for {len(alerts)} alerts, in their order; {len(linked)} links; {len(set(quoted))} panels"


def panels(listed: list[dict]) -> Iterator[dict]:
    for panel in listed:
        yield panel
        yield from panels(panel.get("panels", []))


def runbook_queries(repository: Repository) -> Iterator[str]:
    text = repository.runbook_file.read_text("utf-8")
    queries = [query.strip() for query in re.findall(r"^```promql\n(.*?)^```$", text, re.M | re.S)]
    known = repository.metrics()
    for query in queries:
        for name in set(re.findall(r"\b(?:push_[a-z0-9_]+|[a-z_]+:[a-z0-9_]+:[a-z0-9_]+)", query)):
            if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known:
                yield f"there is no metric {name}: {query.splitlines()[0]}"
    with tempfile.TemporaryDirectory(prefix="push-exporter-deploy-") as folder:
        path = Path(folder) / "queries.yml"
        # All at once; if one is wrong, one by one, since the message names a line of a file that nobody has.
        for several in [queries, *([query] for query in queries)]:
            rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(several)]
            path.write_text(json.dumps({"groups": [{"name": "q", "rules": rules}]}), "utf-8")
            good, said = told("promtool", "check", "rules", path)
            if good and several is queries:
                break
            if not good and several is not queries:
                yield f"no valid query: {several[0]}\n{said}"
    if not queries:
        yield "there are no queries"
    return f"{len(queries)} queries, valid by promtool, of metrics that exist"


# Grafana.


def provisioning(repository: Repository) -> Iterator[str]:
    folder, services = repository.root / "grafana/provisioning", repository.services
    sources, providers = sorted((folder / "datasources").glob("*.y*ml")), sorted((folder / "dashboards").glob("*.y*ml"))
    if not sources or not providers:
        yield f"{folder}: no file of data sources, or none of dashboards"
        return None
    defaults, mounted = 0, {target: source for source, target, _ in binds(services["grafana"])}
    for path in [*sources, *providers]:
        listed = "datasources" if path in sources else "providers"
        config = read(path)
        if config.get("apiVersion") != 1:
            yield f"{path.name}: apiVersion is not 1"
        if not config.get(listed):
            yield f"{path.name}: has no {listed}"
        for item in config.get(listed) or []:
            required = {"name", "type", "access", "url"} if path in sources else {"name", "type", "options"}
            for key in sorted(required - item.keys()):
                yield f"{path.name}: {item.get('name')} has no {key}"
            if required - item.keys():
                continue
            if path in sources:
                defaults += bool(item.get("isDefault"))
                url = urlsplit(item["url"])
                if wrong := is_service(services, url.hostname, url.port):
                    yield f"{path.name}: {item['url']}: {wrong}"
            elif item["type"] != "file" or item["options"].get("path") not in mounted:
                yield f"{path.name}: {item['options'].get('path')} is not mounted by compose.yml"
            elif not list((repository.compose_file.parent / mounted[item["options"]["path"]]).glob("*.json")):
                yield f"{path.name}: {mounted[item['options']['path']]} holds no dashboards"
    if defaults != 1:
        yield f"{defaults} data sources are the default, not one"
    if "/etc/grafana/provisioning" not in mounted:
        yield "compose.yml does not mount /etc/grafana/provisioning"
    home = services["grafana"]["environment"].get("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", "")
    source = mounted.get(os.path.dirname(home))
    if home and not (source and (repository.compose_file.parent / source / os.path.basename(home)).exists()):
        yield f"the home dashboard {home} is not there"
    return f"{len(sources)} files of data sources, {len(providers)} of dashboards, {len(repository.dashboards())} dashboards"


# Alertmanager.


def alertmanager_config(repository: Repository) -> Iterator[str]:
    path, alerts = repository.alertmanager_file, repository.alerts()
    good, text = told("amtool", "check-config", path)
    if not good:
        yield f"amtool check-config: {text}"
        return None
    config, names, known = read(path), 0, repository.labels()
    for number, rule in enumerate(config["inhibit_rules"], start=1):
        sides = []
        for side in ("source_matchers", "target_matchers"):
            found = [re.fullmatch(r'alertname (=~?) "([^"]+)"', matcher) for matcher in rule[side]]
            several = [name for match in found if match for name in match[2].split("|")]
            names += len(several)
            if not several:
                yield f"inhibit rule {number}: {side} name no alert"
            for name in (name for name in several if name not in alerts):
                yield f"inhibit rule {number}: {name} is no alert of the rules"
            # A label that an alert does not have never matches.
            for label in (re.match(r"\w+", matcher)[0] for matcher, match in zip(rule[side], found, strict=True) if not match):
                for name in (name for name in several if not all(label in labels for labels in known.get(name, ()))):
                    yield f"inhibit rule {number}: {name} has no label {label}"
            sides.append({name: known.get(name, set()) for name in several})
        for label in rule.get("equal", []):
            has = {name: {label in labels for labels in several} for side in sides for name, several in side.items()}
            for name in (name for name, found in has.items() if found != {True}):
                yield f"inhibit rule {number}: {name} has no label {label}, which should be equal"
    for labels, receiver in ROUTES:
        wanted = f"--verify.receivers={receiver}"
        good, text = told("amtool", "config", "routes", "test", f"--config.file={path}", wanted, *labels.split())
        if not good:
            yield f"{labels} should go to {receiver}: {text.splitlines()[0] if text else ''}"
    return f"amtool takes it, {len(ROUTES)} routes, {names} names of alerts in {len(config['inhibit_rules'])} inhibit rules"


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "job": "push-exporter", **labels}


def channel(name: str, severity: str, **labels: str) -> dict[str, str]:
    return alert(name, severity, **{"provider": "easemob", "app": "chat", "platform": "android", "channel": "huawei", **labels})


DOWN = alert("PushExporterDown", "critical", instance="a")
ABSENT = {"alertname": "PushExporterAbsent", "severity": "critical"}
LEDGER = alert("PushLedgerFailing", "critical", instance="a")
OF_SHOP = {"provider": "jpush", "app": "shop"}
# What happens, and then: alerts that fire, which of them are silent, and how the others are told (receiver, alerts in it).
INCIDENTS = [
    (
        "an exporter is down, and others go on",
        [DOWN, alert("PushConfigReloadFailed", instance="b"), alert("PushVolumeCollapsed", **OF_SHOP)],
        [],
    ),
    ("the only exporter is down", [DOWN], [ABSENT]),
    (
        "a ledger cannot be written",
        [
            LEDGER,
            alert("PushReportFailing", instance="b", report="received_detail", provider="jpush", app="game"),
            {**alert("PushReportFailing", instance="a", report="received_detail", provider="jpush", app="game"), "job": "other"},
            alert("PushReportRefused", "critical", instance="a", report="messages", reason="auth", provider="jpush", app="old"),
            alert("PushVolumeDoubled", **OF_SHOP),
        ],
        [
            alert("PushReportFailing", instance="a", report="received_detail", **OF_SHOP),
            alert("PushReportFailing", instance="a", report="users", **OF_SHOP),
            alert("PushTokenNotRenewed", instance="a", provider="easemob", app="talk"),
            alert("PushBacklogLate", instance="a", report="received_detail", **OF_SHOP),
            alert("PushMessageFeedDead", **OF_SHOP),
            alert("PushDataLate", report="offline_push", provider="easemob", app="talk"),
        ],
    ),
    (
        "delivery reports are refused, others are too",
        [
            alert("PushReportRefused", "critical", instance="a", report="messages_detail", reason="auth", **OF_SHOP),
            alert("PushMessageFeedDead", **OF_SHOP),
            alert("PushReportRefused", instance="a", report="users", reason="forbidden", provider="jpush", app="game"),
            alert("PushDataLate", provider="jpush", app="game"),
            alert("PushReportFailing", instance="a", report="message_push_overview", provider="feishu", app="bot"),
            alert("PushVolumeDoubled", **OF_SHOP),
            alert("PushVolumeDoubled", provider="feishu", app="bot"),
        ],
        [
            alert("PushDataLate", **OF_SHOP),
            alert("PushVolumeCollapsed", **OF_SHOP),
            alert("PushTokenNotRenewed", instance="a", provider="feishu", app="bot"),
        ],
    ),
    (
        "polls are late",
        [
            alert("PushBacklogLate", instance="a", report="messages_detail", **OF_SHOP),
            alert("PushBacklogLate", instance="a", report="users", provider="jpush", app="game"),
            alert("PushDataLate", provider="jpush", app="game"),
        ],
        [alert("PushDataLate", **OF_SHOP), alert("PushVolumeCollapsed", **OF_SHOP)],
    ),
    (
        "ids do not come",
        [alert("PushMessageFeedDead", **OF_SHOP), alert("PushVolumeCollapsed", provider="jpush", app="game")],
        [alert("PushVolumeCollapsed", **OF_SHOP)],
    ),
    (
        "a vendor is bad",
        [
            alert("PushVendorBadThroughAllProviders", "critical", platform="android", channel="huawei", fault="vendor"),
            channel("PushClicksVanished", "warning"),
            channel("PushChannelFailing", "critical", channel="xiaomi"),
            channel("PushChannelSuccessFell", "warning", channel="xiaomi", app="game"),
        ],
        [
            channel("PushChannelFailing", "critical"),
            channel("PushDeliveryRatioFell", "warning", provider="jpush", app="shop"),
            channel("PushChannelSlow", "warning", provider="jpush", app="shop"),
            channel("PushChannelBadThroughOneProvider", "warning", app="", fault="provider"),
            channel("PushChannelSuccessFell", "warning", channel="xiaomi"),
        ],
    ),
    ("a channel fails for ten apps", [channel("PushChannelFailing", "critical", app=f"app{number}") for number in range(10)], []),
]


class Receiver(http.server.BaseHTTPRequestHandler):
    got: list[tuple[str, list[dict]]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got.append((self.path.strip("/"), [told["labels"] for told in body["alerts"] if told["status"] == "firing"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def until(condition, seconds: float = 10):
    """What the condition returns once it is true, or in the end."""
    ends = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < ends:
        time.sleep(0.05)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def brief(labels: dict[str, str]) -> str:
    return " ".join(value for key, value in labels.items() if key not in ("job", "severity"))


def key(labels: dict[str, str]) -> frozenset:
    return frozenset((name, value) for name, value in labels.items() if value)


def incidents(repository: Repository) -> Iterator[str]:
    """A real Alertmanager with the file, of which only the addresses of the webhooks and the waits are others. Each
    incident has an Alertmanager of its own; all of them run at once."""
    known = repository.labels()
    for labels in (labels for _, fires, follows in INCIDENTS for labels in [*fires, *follows]):
        if {name for name in labels if labels[name]} - {"alertname"} not in known.get(labels["alertname"], ()):
            yield f"the tests of the rules know no {labels['alertname']} with these labels: {', '.join(labels)}"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    running, silent, notified, missing = [], 0, 0, False
    with contextlib.ExitStack() as stack:
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="push-exporter-deploy-")))
        for number, incident in enumerate(INCIDENTS):
            home = folder / str(number)
            home.mkdir()
            config = read(repository.alertmanager_file)
            for receiver in config["receivers"]:
                for webhook in receiver["webhook_configs"]:
                    webhook["url"] = f"http://127.0.0.1:{server.server_address[1]}/{number}/{receiver['name']}"
            config["route"]["group_wait"] = "1s"
            (home / "alertmanager.yml").write_text(json.dumps(config), "utf-8")
            url = f"http://127.0.0.1:{(port := free_port())}"
            log = stack.enter_context(open(home / "log", "w"))
            process = subprocess.Popen(
                ["prometheus-alertmanager", f"--config.file={home}/alertmanager.yml", f"--storage.path={home}/data",
                 f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
                stdout=log, stderr=log,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
            running.append((number, incident, url, home))
        for number, (what, fires, follows), url, home in running:
            if not until(lambda: is_ready(url)):
                yield f"Alertmanager does not start: {(home / 'log').read_text()[-600:]}"
                return None
            # Sources first, as they would be: an alert that follows is silent from its beginning.
            post(url, fires)
            until(lambda: len(states(url)) == len(fires))
            post(url, follows)
        for number, (what, fires, follows), url, home in running:
            wanted = {key(labels): bool(labels in follows) for labels in [*fires, *follows]}
            if until(lambda: states(url) == wanted, 5):
                silent += len(follows)
            found = states(url)
            for labels in [*fires, *follows]:
                if found.get(key(labels)) != wanted[key(labels)]:
                    missing = True
                    yield f"{what}: {brief(labels)} is {'told' if labels in follows else 'silent, or not there'}"
            # Each of the others is told once, with those of its receiver, alertname, provider and channel.
            mine = lambda: [(path.split("/")[1], labels) for path, labels in list(Receiver.got) if path.startswith(f"{number}/")]
            waited = [labels for labels in fires if labels["severity"] != "info"]
            until(lambda: sum(len(labels) for _, labels in mine()) >= len(waited))
            by = ("severity", "alertname", "provider", "channel")
            groups = {tuple(labels.get(label) for label in by) for labels in waited}
            if len(mine()) != len(groups):
                yield f"{what}: {len(mine())} notifications for {len(groups)} things"
            for receiver, several in mine():
                for labels in several:
                    if receiver != ("page" if labels["severity"] == "critical" else "chat") or labels not in fires:
                        yield f"{what}: {receiver} is told of {brief(labels)}"
            notified += len(mine())
    return f"{len(running)} incidents with a real Alertmanager: {silent} alerts that follow are silent, {notified} notifications"


def post(url: str, several: list[dict[str, str]]) -> None:
    body = json.dumps([{"labels": labels} for labels in several]).encode()
    request = urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).close()


def states(url: str) -> dict[frozenset, bool]:
    """Whether each alert is inhibited."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=5) as answer:
        return {key(found["labels"]): bool(found["status"]["inhibitedBy"]) for found in json.load(answer)}


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def programs(needed: Iterable[str]) -> Iterator[str]:
    for program in needed:
        if not shutil.which(program):
            yield f"{program} is not installed"
    return ", ".join(needed)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, default=HERE.parents[1], help="of the repository")
    options = arguments.parse_args()
    repository, checks = Repository(options.root), Checks()
    checks.run("programs", programs(["promtool", "amtool", "prometheus", "prometheus-alertmanager"]))
    if not checks.wrong:
        checks.run("compose.yml, keys", compose_keys(repository))
        checks.run("compose.yml, services", compose_services(repository))
        checks.run("compose.yml, commands", compose_commands(repository))
        checks.run("prometheus.yml", prometheus_config(repository))
        checks.run("rules", prometheus_rules(repository))
        checks.run("RUNBOOK.md, names", runbook_names(repository))
        checks.run("RUNBOOK.md, queries", runbook_queries(repository))
        checks.run("Grafana's provisioning", provisioning(repository))
        checks.run("alertmanager.yml", alertmanager_config(repository))
        checks.run("alertmanager.yml, incidents", incidents(repository))
    for message in checks.wrong:
        print(message, file=sys.stderr)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
