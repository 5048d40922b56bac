"""Starts the exporter as the rendered pod says: arguments, variables, mounts, user, read-only root. Asks its probes on the
ports that they name, registers a message, changes a Secret, stops it. The providers cannot be reached from there."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import objects
from tools import Rendered

# What stands in Secrets. Nothing of it is given to Helm.
SECRETS = {
    "push-credentials": {"jpush": "s-jpush", "jpush-shop": "s-shop", "group": "s-group", "easemob": "s-easemob",
                         "feishu": "s-feishu", "message-api": "s-messages"},
    "easemob-token": {"token": "s-token"},
}
WEB = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\nrate_limit: {interval: 1h, burst: 4}\n"


@functools.cache
def certificate(turn: int = 1) -> dict[str, str]:
    """Another one each turn."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        command += ["-subj", f"/CN=turn {turn}", "-addext", "subjectAltName=DNS:localhost", "-keyout", "tls.key", "-out", "tls.crt"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        return {name: Path(folder, name).read_text("utf-8") for name in ("tls.crt", "tls.key")}


def secrets() -> dict[str, dict[str, str]]:
    return {**SECRETS, "push-web": {"web-config.yml": WEB}, "push-tls": certificate()}


def projected(rendered: Rendered, volume: dict, known: dict) -> dict[str, str]:
    maps = {thing["metadata"]["name"]: thing["data"] for thing in rendered.of("ConfigMap")}
    files: dict[str, str] = {}
    for source in volume["projected"]["sources"]:
        ((kind, wanted),) = source.items()
        data = (maps if kind == "configMap" else known)[wanted["name"]]
        for item in wanted.get("items") or [{"key": key, "path": key} for key in data]:
            if item["path"] in files:
                raise ValueError(f"{rendered.name}: {item['path']} is projected twice")
            files[item["path"]] = data[item["key"]]
    return files


def described(rendered: Rendered, folder: Path, binary: Path, steps: list[dict]) -> dict:
    volumes: dict = {}
    for volume in rendered.pod["spec"]["volumes"]:
        if "projected" in volume:
            mode = volume["projected"]["defaultMode"]
            volumes[volume["name"]] = {"kind": "projected", "mode": mode, "files": projected(rendered, volume, secrets())}
        else:
            volumes[volume["name"]] = {"kind": "folder"}
    for claim in rendered.one("StatefulSet")["spec"].get("volumeClaimTemplates", []):
        volumes[claim["metadata"]["name"]] = {"kind": "folder"}
    mounts = rendered.container["volumeMounts"]
    environment = {}
    for variable in rendered.container.get("env", []):
        wanted = variable.get("valueFrom", {}).get("secretKeyRef")
        environment[variable["name"]] = secrets()[wanted["name"]][wanted["key"]] if wanted else variable["value"]
    arguments = rendered.container["args"]
    files = [part for part in arguments if part.startswith(("--config.file=", "--web.config.file="))]
    return {
        "folder": str(folder),
        "binary": str(binary.resolve()),
        "volumes": volumes,
        "mounts": [{"volume": one["name"], "path": one["mountPath"], "readOnly": one.get("readOnly", False)} for one in mounts],
        "environment": environment,
        "arguments": arguments,
        "check": ["check", "--offline", *files] if files else None,
        "steps": steps,
        "test": helm_test(rendered),
        "hosts": ["localhost", service_name(rendered)],
        "grace": rendered.pod["spec"]["terminationGracePeriodSeconds"],
    }


def helm_test(rendered: Rendered) -> list[str] | None:
    """What the pod of `helm test` runs. The Service's port becomes the one that it leads to."""
    port = rendered.one("Service")["spec"]["ports"][0]
    address = f"{service_name(rendered)}:"
    for test in rendered.of("Pod"):
        arguments = test["spec"]["containers"][0]["args"]
        return [part.replace(f"{address}{port['port']}", f"{address}{rendered.ports()[port['targetPort']]}") for part in arguments]
    return None


def service_name(rendered: Rendered) -> str:
    return f"{rendered.one('Service')['metadata']['name']}.{rendered.namespace}.svc"


def run(told: dict) -> dict:
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    if os.geteuid():
        flags.append("--map-root-user")
    command = ["unshare", *flags, sys.executable, str(Path(__file__).with_name("node.py"))]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise OSError(f"the pod could not be laid out: {done.stderr.strip()[-1500:]}")
    return json.loads(done.stdout)


def story(rendered: Rendered) -> Iterator[dict]:
    """What is asked in turn: what it is called, where, and the status that is wanted within so many seconds."""
    ports, container = rendered.ports(), rendered.container
    for probe, seconds in (("startupProbe", 10), ("livenessProbe", 1), ("readinessProbe", 60)):
        asked = container[probe]["httpGet"]
        yield {"what": probe, "port": ports[asked["port"]], "path": asked["path"], "status": 200, "seconds": seconds}
    service = rendered.one("Service")["spec"]["ports"][0]
    page = {"port": ports[service["targetPort"]], "path": "/metrics", "status": 200, "seconds": 2}
    for monitor in [monitor for kind in objects.MONITORS for monitor in rendered.of(kind)]:
        page["path"] = objects.endpoints_of(monitor)[0]["path"]
    if rendered.values.get("webConfig"):
        yield {**page, "what": "the page without TLS", "status": 400, "seconds": 0}
        page["tls"] = certificate()["tls.crt"]
        yield {**page, "what": "the page with TLS", "seconds": 2}
        volume = next(volume for volume in rendered.pod["spec"]["volumes"] if volume["name"] == "web-config")
        written = {"web-config": projected(rendered, volume, {**secrets(), "push-tls": certificate(2)})}
        page["tls"] = certificate(2)["tls.crt"]
        yield {**page, "what": "the page with the certificate that has come", "seconds": 10, "write": written}
        # The limit leaves four requests in an hour; a scrape takes what is left of it, and probes go on.
        for _ in range(4):
            yield {**page, "what": "the limit's scrapes", "status": 429, "seconds": 0, "any": True}
        yield {**page, "what": "the page over the limit", "status": 429, "seconds": 0}
        asked = container["livenessProbe"]["httpGet"]
        yield {"what": "liveness then", "port": ports[asked["port"]], "path": asked["path"], "status": 200, "seconds": 0}
        return
    yield {**page, "what": "the page"}
    if any(secret["name"] == "message-api" for secret in rendered.values.get("secrets", [])):
        yield from rotation(rendered, page["port"])
        if not rendered.values.get("restartOnConfigChange") and "app: shop" in configured(rendered, secrets())["push-exporter.yml"]:
            yield from reloaded(rendered, page["port"])


def message(port: int, app: str, token: str, status: int, seconds: float) -> dict:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"app": app, "msg_id": "7"})
    asked = {"port": port, "path": "/api/v1/messages", "method": "POST", "headers": headers, "body": body}
    return {**asked, "status": status, "seconds": seconds}


def configured(rendered: Rendered, known: dict) -> dict[str, str]:
    volume = next(volume for volume in rendered.pod["spec"]["volumes"] if volume["name"] == "config")
    return projected(rendered, volume, known)


def rotation(rendered: Rendered, port: int) -> Iterator[dict]:
    """A Secret that changes while the exporter runs: the new token is taken without a restart."""
    changed = {**secrets(), "push-credentials": {**SECRETS["push-credentials"], "message-api": "s-changed"}}
    yield {**message(port, "shop", "s-messages", 200, 2), "what": "a message"}
    written = {"config": configured(rendered, changed)}
    yield {**message(port, "shop", "s-changed", 200, 10), "what": "a message after the Secret has changed", "write": written}
    yield {**message(port, "shop", "s-messages", 401, 0), "what": "a message with the old token"}


def reloaded(rendered: Rendered, port: int) -> Iterator[dict]:
    """A ConfigMap that changes while the exporter runs, which is read again."""
    files = {name: text.replace("app: shop", "app: store") for name, text in configured(rendered, secrets()).items()}
    asked = message(port, "store", "s-messages", 200, 20)
    yield {**asked, "what": "a message of the app that the new configuration has", "write": {"config": files}}


def starts(rendered: Rendered, binary: Path) -> Iterator[str]:
    steps = list(story(rendered))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        happened = run(described(rendered, folder, binary, steps))
    said = happened["log"]
    if happened["checked"]:
        yield f"{rendered.name}: push-exporter check --offline: exit code {happened['checked']}: {said}"
    for step, (status, body, _) in zip(steps, happened["asked"], strict=True):
        if status != step["status"] and not step.get("any"):
            where = f"{step['what']}, port {step['port']}, {step['path']}"
            yield f"{rendered.name}: {where}: {status}, not {step['status']}: {body[:300]} {said}"
    if happened["tested"]:
        yield f"{rendered.name}: helm test would end with {happened['tested']}: {said}"
    if happened["exit"] != 0 or happened["stopped"] > 5:
        yield f"{rendered.name}: stopped with {happened['exit']} after {happened['stopped']} s: {said}"
    demo = rendered.values.get("demo", {}).get("enabled", False)
    if ("push-exporter.db" in happened["ledger"]) == demo:
        yield f"{rendered.name}: the ledger's volume has {happened['ledger']}"
    ready = next(passed for step, (_, _, passed) in zip(steps, happened["asked"], strict=True) if step["what"] == "readinessProbe")
    return ready
