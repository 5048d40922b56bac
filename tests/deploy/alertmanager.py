"""deploy/alertmanager.yml: routes, inhibit rules, and what a real Alertmanager tells and silences with it."""

import contextlib
import http.server
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from common import free_port, read, told
from incidents import INCIDENTS
from repository import Repository

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


def config(repository: Repository) -> Iterator[str]:
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
    wanted = "|".join(json.loads((repository.root / "mixin/reports.json").read_text("utf-8"))["deliveries"])
    if f'report =~ "{wanted}"' not in (matcher for rule in config["inhibit_rules"] for matcher in rule["source_matchers"]):
        yield f"no inhibit rule is about the delivery reports of mixin/reports.json: {wanted}"
    for labels, receiver in ROUTES:
        wanted = f"--verify.receivers={receiver}"
        good, text = told("amtool", "config", "routes", "test", f"--config.file={path}", wanted, *labels.split())
        if not good:
            yield f"{labels} should go to {receiver}: {text.splitlines()[0] if text else ''}"
    return f"amtool takes it, {len(ROUTES)} routes, {names} names of alerts in {len(config['inhibit_rules'])} inhibit rules"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes notifications at /INCIDENT/RECEIVER."""

    got: defaultdict[str, list[tuple[str, list[dict]]]] = defaultdict(list)

    def do_POST(self):
        _, incident, receiver = self.path.split("/")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got[incident].append((receiver, [one["labels"] for one in body["alerts"] if one["status"] == "firing"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Alertmanager:
    """A real one with the file, of which only the addresses of the webhooks and the waits are others."""

    def __init__(self, stack: contextlib.ExitStack, config: dict, webhooks: str):
        for receiver in config["receivers"]:
            for webhook in receiver["webhook_configs"]:
                webhook["url"] = f"{webhooks}/{receiver['name']}"
        config["route"]["group_wait"] = "1s"
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (home / "alertmanager.yml").write_text(json.dumps(config), "utf-8")
        address = f"127.0.0.1:{free_port()}"
        self.url, self.log = f"http://{address}", home / "log"
        log = stack.enter_context(open(self.log, "w"))
        process = subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={home}/alertmanager.yml", f"--storage.path={home}/data",
             f"--web.listen-address={address}", "--cluster.listen-address="],
            stdout=log, stderr=log,
        )  # fmt: skip
        stack.enter_context(process)
        stack.callback(process.terminate)

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=1).close()
            return True
        except OSError:
            return False

    def post(self, several: list[dict[str, str]]) -> None:
        body = json.dumps([{"labels": labels} for labels in several]).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=5).close()

    def states(self) -> dict[frozenset, bool]:
        """Whether each alert is inhibited."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            return {key(found["labels"]): bool(found["status"]["inhibitedBy"]) for found in json.load(answer)}


def until(condition, seconds: float = 10):
    """What the condition returns once it is true, or in the end."""
    ends = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < ends:
        time.sleep(0.05)
    return result


def brief(labels: dict[str, str]) -> str:
    return " ".join(value for name, value in labels.items() if name not in ("job", "severity"))


def key(labels: dict[str, str]) -> frozenset:
    return frozenset((name, value) for name, value in labels.items() if value)


def incidents(repository: Repository) -> Iterator[str]:
    """Each incident has an Alertmanager of its own; all of them run at once."""
    known = repository.labels()
    for labels in (labels for _, fires, follows in INCIDENTS for labels in [*fires, *follows]):
        if {name for name in labels if labels[name]} - {"alertname"} not in known.get(labels["alertname"], ()):
            yield f"the tests of the rules know no {labels['alertname']} with these labels: {', '.join(labels)}"
    silent, notified = 0, 0
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        webhooks = f"http://127.0.0.1:{server.server_port}"
        running = []
        for number, incident in enumerate(INCIDENTS):
            alertmanager = Alertmanager(stack, read(repository.alertmanager_file), f"{webhooks}/{number}")
            running.append((*incident, alertmanager, Receiver.got[str(number)]))
        for _, fires, follows, alertmanager, _ in running:
            if not until(alertmanager.is_ready):
                yield f"Alertmanager does not start: {alertmanager.log.read_text()[-600:]}"
                return None
            # Sources first, as they would be: an alert that follows is silent from its beginning.
            alertmanager.post(fires)
            until(lambda: len(alertmanager.states()) == len(fires))
            alertmanager.post(follows)
        for what, fires, follows, alertmanager, got in running:
            wanted = {key(labels): labels in follows for labels in [*fires, *follows]}
            if until(lambda: alertmanager.states() == wanted, 5):
                silent += len(follows)
            found = alertmanager.states()
            for labels in [*fires, *follows]:
                if found.get(key(labels)) != wanted[key(labels)]:
                    yield f"{what}: {brief(labels)} is {'told' if labels in follows else 'silent, or not there'}"
            # Each of the others is told once, with those of its receiver, alertname, provider and channel.
            waited = [labels for labels in fires if labels["severity"] != "info"]
            until(lambda: sum(len(labels) for _, labels in got) >= len(waited))
            by = ("severity", "alertname", "provider", "channel")
            groups = {tuple(labels.get(label) for label in by) for labels in waited}
            if len(got) != len(groups):
                yield f"{what}: {len(got)} notifications for {len(groups)} things"
            for receiver, several in got:
                for labels in several:
                    if receiver != ("page" if labels["severity"] == "critical" else "chat") or labels not in fires:
                        yield f"{what}: {receiver} is told of {brief(labels)}"
            notified += len(got)
    return f"{len(running)} incidents with a real Alertmanager: {silent} alerts that follow are silent, {notified} notifications"


def shown(repository: Repository) -> Iterator[str]:
    """A real Alertmanager tells the receiver of Compose, which prints it."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        command = [sys.executable, repository.root / "deploy/show_alerts.py", str(port)]
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        out = stack.enter_context(log.open("w"))
        process = stack.enter_context(subprocess.Popen(command, stdout=out, stderr=out))
        stack.callback(process.terminate)
        alertmanager = Alertmanager(stack, read(repository.alertmanager_file), f"http://127.0.0.1:{port}")
        if not until(alertmanager.is_ready):
            yield f"Alertmanager does not start: {alertmanager.log.read_text()[-600:]}"
            return None
        alertmanager.post([{"alertname": "PushChannelFailing", "severity": "critical", "channel": "huawei"}])
        wanted = "firing critical -> page: PushChannelFailing: PushChannelFailing\n"
        if not until(lambda: wanted in log.read_text(), 20):
            yield f"printed is {log.read_text()!r}"
        for body, status in ((b"nonsense", 400), (b"[]", 400), (b'{"alerts":[{}]}', 400)):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/page", body, timeout=5).close()
                yield f"{body!r} is taken"
            except urllib.error.HTTPError as error:
                if error.code != status:
                    yield f"{body!r} is answered {error.code}"
    return "prints an alert, and refuses what is none"
