"""Values that are refused, with what the message must say, and values that must not be refused. Both Helms are asked: their
words for a schema's errors differ, so rows name what is common."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools import Refused, helm, helms, version

APP = "config: {jpush: [{app: shop, app_key: k, master_secret_file: secrets/s}]}\nsecrets: [{name: s, secretName: c, key: s}]\n"
JPUSH = "config: {{jpush: [{{app: shop, {}}}]}}"

# values (APP is put in front where they do not begin with config or demo), and parts of the message.
REFUSED = [
    ("demo: {enabled: false}", ["config has no app", "demo.enabled=true"]),
    ("config: {timezone: Asia/Shanghai}", ["config has no app"]),
    ("demo: {enabled: true}\nconfig: {feishu: [{app: a}]}", ["exclude each other"]),
    (JPUSH.format("app_key: k, master_secret: my-secret"), ["app shop", "master_secret is given as text", "master_secret_file: secrets/NAME"]),
    (JPUSH.format("group_key: k, group_master_secret: my-secret"), ["app shop", "group_master_secret is given as text"]),
    ("config: {easemob: [{app: a, client_secret: my-secret}]}", ["app a", "client_secret is given as text"]),
    ("config: {easemob: [{app: a, app_token: my-secret}]}", ["app a", "app_token is given as text"]),
    ("config: {onesignal: [{app: a, api_key: my-secret}]}", ["app a", "api_key is given as text"]),
    ("config: {later: [{app: a, api_token: my-secret}]}", ["app a", "api_token is given as text"]),
    ("config: {message_api: {token: my-secret}, feishu: [{app: a}]}", ["message_api", "token is given as text"]),
    (JPUSH.format("master_secret: '${JPUSH}'"), ["uses ${JPUSH}", "env has no entry"]),
    (JPUSH.format("master_secret_file: secrets/none"), ["secrets/none", "secrets has no entry with name: none"]),
    (JPUSH.format("messages: {ids: [1613113584]}"), ["ids", "string"]),
    (JPUSH.format("app_key: 7431e42"), ["app_key", "string"]),
    ("config: {ledger: 'sqlite:push-exporter.db', feishu: [{app: a}]}", ["ledger"]),
    ("replicas: 2", ["replicas is above 1", "config.ledger: postgres://"]),
    ("replicas: 0", ["replicas"]),
    ("config: {ledger: 'postgres://push:my-secret@db/push', feishu: [{app: a}]}", ["the password is given as text", "PGPASSWORD"]),
    (
        "config: {ledger: 'postgres://push@db/push', feishu: [{app: a}]}\nnetworkPolicy: {enabled: true, metricsFrom: [{podSelector: {}}]}",
        ["networkPolicy.extraEgress is empty"],
    ),
    ("persistance: {enabled: false}", ["persistance"]),
    ("persistence: {sise: 1Gi}", ["persistence", "sise"]),
    ("image: {tag: 1.0}", ["tag", "string"]),
    ("secrets: [{name: s, secretName: c, key: s, value: my-secret}]", ["secrets", "value"]),
    ("secrets: [{name: s, secretName: c, key: s}, {name: s, secretName: d, key: s}]", ["a name stands twice"]),
    ("env: [{name: A, value: my-secret}]", ["env", "value"]),
    ("extraArgs: [--config.file=/other.yml]", ["extraArgs"]),
    ("extraArgs: [--web.probe-address, ':1']", ["extraArgs"]),
    ("extraArgs: [--web.listen-address=:1]", ["extraArgs"]),
    ("extraArgs: [--web.config.file=/w.yml]", ["extraArgs"]),
    ("extraArgs: [demo]", ["extraArgs"]),
    ("serviceMonitor: {basicAuth: {user: x}}", ["basicAuth", "user"]),
    ("serviceMonitor: {scrapeProtocols: [Protobuf]}", ["scrapeProtocols"]),
    ("ingress: {enabled: true}", ["ingress.host is empty"]),
    ("secretsFrom: [{name: s}]", ["secretsFrom", "string"]),
    ("prometheusRule: {enabled: true, overrides: {PushDown: {for: 1m}}}", ["no alert PushDown", "PushExporterDown"]),
    ("prometheusRule: {overrides: {PushDataLate: {severty: info}}}", ["overrides", "severty"]),
    ("prometheusRule: {set: some}", ["set"]),
    ("prometheusRule: {thresholds: {hourVolumes: 10}}", ["thresholds", "hourVolumes"]),
    ("prometheusRule: {enabled: true, thresholds: {hourVolume: null}}", ["hourVolume"]),
    ("prometheusRule: {enabled: true, exclude: {alerts: [PushDown]}}", ["no PushDown", "PushExporterDown"]),
    ("prometheusRule: {enabled: true, exclude: {files: [alerts]}}", ["no alerts", "recording"]),
    ("prometheusRule: {enabled: true, exclude: {groups: [none]}}", ["no none", "push-exporter"]),
    ("networkPolicy: {enabled: true}", ["networkPolicy.metricsFrom is empty"]),
    ("serviceMonitor: {enabled: true}\npodMonitor: {enabled: true}", ["serviceMonitor and podMonitor", "more than once"]),
    ("httpRoute: {enabled: true}", ["httpRoute.parentRefs is empty"]),
]

# Besides the sets of values in values/.
ACCEPTED = [
    "config: {jpush: [{app: a, app_key: '1', master_secret: '${S}', a_later_key: 1}]}\nextraEnv: [{name: S, value: x}]",
    "config: {jpush: [{app: a, app_key: '1', master_secret_file: /vault/secret}]}",
    "demo: {enabled: true}\nnetworkPolicy: {enabled: true, metricsFrom: [{podSelector: {}}]}\nfullnameOverride: p",
    "demo: {enabled: true}\npodSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}",
    "demo: {enabled: true}\nresources: null\npersistence: {storageClass: '-'}",
]


def whole(values: str) -> str:
    own = values.startswith(("config", "demo"))
    if own:
        return values
    return (APP.split("\n")[0] + "\n" if values.startswith("secrets") else APP) + values


def tried(program: Path, chart: Path, values: str) -> str | None:
    """What Helm says when it refuses the values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        try:
            helm(program, "template", "r", chart, "--values", file.name)
        except Refused as error:
            return str(error)
    return None


def values(chart: Path) -> Iterator[str]:
    for program in helms():
        for given, parts in REFUSED:
            said = tried(program, chart, whole(given))
            if said is None:
                yield f"Helm {version(program)} takes {given!r}"
                continue
            for part in parts:
                if part not in said:
                    yield f"Helm {version(program)}, {given!r}: no word of {part!r} in: {said[:400]}"
            if "my-secret" in said and "value" not in parts:
                yield f"Helm {version(program)}, {given!r}: a secret is told: {said[:400]}"
        for given in ["", *ACCEPTED]:
            if said := tried(program, chart, whole(given)):
                yield f"Helm {version(program)} refuses {given!r}: {said[:400]}"
    return f"{len(REFUSED)} sets of values refused with the right words, {len(ACCEPTED) + 1} taken, by {len(helms())} Helms"


def subchart(chart: Path) -> Iterator[str]:
    """As a part of another chart, with a condition and global values."""
    parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    parent["dependencies"] = [{"name": "push-exporter", "version": ">=0.0.0-0", "condition": "push-exporter.enabled"}]
    for program in helms():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Chart.yaml").write_text(yaml.safe_dump(parent))
            shutil.copytree(chart, Path(folder, "charts/push-exporter"))
            for on in (True, False):
                given = {"global": {"a": 1}, "push-exporter": {"enabled": on, "demo": {"enabled": True}}}
                Path(folder, "values.yaml").write_text(json.dumps(given))
                made = helm(program, "template", "r", folder).count("kind: StatefulSet")
                if made != on:
                    yield f"Helm {version(program)}: as a part of another chart with enabled: {on} there are {made} StatefulSets"
    return "takes global values and a condition"
