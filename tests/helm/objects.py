"""What is rendered: each object against its schema, and objects against each other."""

import base64
import functools
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate

from tools import Rendered, compact

# Groups whose kinds have a schema in crds/.
CUSTOM = ("monitoring.coreos.com/", "operator.victoriametrics.com/", "grafana.integreatly.org/", "gateway.networking.k8s.io/")
KUBERNETES = ("1.25", "1.30", "1.37")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Of the annotation in which `kubectl apply` keeps an object, of a rule file in the operator, of an object in etcd.
ANNOTATION, RULES, STORED = 262_144, 524_288, 1_048_576


# What leads a Prometheus to the pod, and whether by the Service.
MONITORS = {"ServiceMonitor": "Service", "VMServiceScrape": "Service", "PodMonitor": "Pod"}


def strict(schema: object) -> object:
    """What the API server does with fields that a schema does not list is to drop them; here they are errors."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    schema = {key: strict(value) for key, value in schema.items()}
    if isinstance(pattern := schema.get("pattern"), str):
        # Go takes a flag anywhere, Python at the start.
        schema["pattern"] = pattern.replace("^(?i)", "(?i)^")
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and "type" in schema:
        schema["additionalProperties"] = False
    return schema


@functools.cache
def custom(kind: str) -> jsonschema.Draft202012Validator:
    schema = strict(json.loads((Path(__file__).parent / f"crds/{kind}.json").read_text("utf-8")))
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def schemas(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.objects:
        name = f"{rendered.name}, {thing['kind']} {thing['metadata']['name']}"
        if thing["apiVersion"].startswith(CUSTOM):
            for error in custom(thing["kind"]).iter_errors(thing):
                yield f"{name}: {'.'.join(map(str, error.path))}: {error.message[:300]}"
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message[:300]}"


def within(selector: dict, labels: dict) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def names(rendered: Rendered) -> Iterator[str]:
    seen = set()
    for thing in rendered.objects:
        meta = thing["metadata"]
        name = f"{rendered.name}, {thing['kind']} {meta['name']}"
        if (key := (thing["kind"], meta.get("namespace"), meta["name"])) in seen:
            yield f"{name}: is there twice"
        seen.add(key)
        if not NAME.fullmatch(meta["name"]):
            yield f"{name}: is no name of 63 characters at most"
        for label, value in meta.get("labels", {}).items():
            if not LABEL.fullmatch(value):
                yield f"{name}: the label {label} cannot be {value!r}"
        if not {"app.kubernetes.io/name", "app.kubernetes.io/instance"} <= meta.get("labels", {}).keys():
            yield f"{name}: has not the labels that tell whose it is"
        board = thing["kind"] == "GrafanaDashboard" or any(key.endswith(".json") for key in thing.get("data", {}))
        wanted = rendered.values.get("dashboards", {}).get("namespace") if board else None
        if meta.get("namespace") != (wanted or rendered.namespace):
            yield f"{name}: is in namespace {meta.get('namespace')}"
        if thing["kind"] == "Secret":
            yield f"{name}: secrets are not the chart's"
        for size, limit in ((compact(thing), ANNOTATION), (compact(thing.get("spec", "")), RULES)):
            if len(size.encode()) > limit:
                yield f"{name}: has {len(size.encode())} bytes; {limit} are allowed"
    # The pods of a StatefulSet carry its name and a hash in a label.
    if len(rendered.one("StatefulSet")["metadata"]["name"]) > 52:
        yield f"{rendered.name}: the name of the StatefulSet has more than 52 characters"


def references(rendered: Rendered) -> Iterator[str]:
    """What names something else names what is there."""
    which, stateful, pod, container = rendered.name, rendered.one("StatefulSet"), rendered.pod, rendered.container
    labels, ports = pod["metadata"]["labels"], rendered.ports()
    service = rendered.one("Service")
    replicas = rendered.values.get("replicas", 1)
    if stateful["spec"]["replicas"] != replicas:
        yield f"{which}: {stateful['spec']['replicas']} replicas"
    budgets = [budget["spec"] for budget in rendered.of("PodDisruptionBudget")]
    away = rendered.values.get("podDisruptionBudget", {}).get("maxUnavailable", 1)
    wanted = [{"maxUnavailable": away, "selector": stateful["spec"]["selector"]}] if replicas > 1 else []
    if budgets != wanted:
        yield f"{which}: budgets are {budgets}"
    apart = pod["spec"].get("affinity", {}).get("podAntiAffinity", {}).get("preferredDuringSchedulingIgnoredDuringExecution", [])
    terms = [term["podAffinityTerm"] for term in apart]
    if replicas > 1 and [(term["topologyKey"], within(term["labelSelector"]["matchLabels"], labels)) for term in terms] != [
        ("kubernetes.io/hostname", True)
    ]:
        yield f"{which}: pods are kept apart by {terms}"
    for thing, selector in (("StatefulSet", stateful["spec"]["selector"]["matchLabels"]), ("Service", service["spec"]["selector"])):
        if not within(selector, labels):
            yield f"{which}: the {thing} selects {selector}, which the pod is not"
    if stateful["spec"]["serviceName"] != service["metadata"]["name"]:
        yield f"{which}: serviceName is no Service"
    for port in service["spec"]["ports"]:
        if port["targetPort"] not in ports:
            yield f"{which}: the Service's port {port['name']} leads to {port['targetPort']}, of {', '.join(ports)}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if container[probe]["httpGet"]["port"] not in ports:
            yield f"{which}: {probe} asks port {container[probe]['httpGet']['port']}, of {', '.join(ports)}"
    for flag, port in (("--web.listen-address", "metrics"), ("--web.probe-address", "probes")):
        if rendered.flag(flag) != f":{ports[port]}":
            yield f"{which}: {flag} is {rendered.flag(flag)}, and the port {port} is {ports[port]}"
    if pod["spec"]["terminationGracePeriodSeconds"] <= 5:
        yield f"{which}: it may need 5 seconds to stop"
    yield from volumes(rendered)
    for kind, target in MONITORS.items():
        for monitor in rendered.of(kind):
            yield from monitored(rendered, monitor, service if target == "Service" else pod)
    for route in rendered.of("HTTPRoute"):
        yield from routed(rendered, route, service)
    for policy in rendered.of("NetworkPolicy"):
        yield from policed(rendered, policy)
    if rendered.of("ServiceAccount"):
        account = rendered.one("ServiceAccount")["metadata"]["name"]
    else:
        account = "default"
    for spec in (pod["spec"], *(test["spec"] for test in rendered.of("Pod"))):
        if spec["serviceAccountName"] != account:
            yield f"{which}: the service account {spec['serviceAccountName']} is not there"
        yield from confined(which, spec)


def shared(rendered: Rendered) -> bool:
    """Whether the ledger is a database that replicas share."""
    return rendered.values.get("config", {}).get("ledger", "").startswith("postgres")


def volumes(rendered: Rendered) -> Iterator[str]:
    which, spec = rendered.name, rendered.one("StatefulSet")["spec"]
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
    there = [volume["name"] for volume in rendered.pod["spec"]["volumes"]] + claims
    mounts = [mount for container in rendered.pod["spec"]["containers"] for mount in container.get("volumeMounts", [])]
    for name in {name for name in there if there.count(name) > 1}:
        yield f"{which}: the volume {name} is there twice"
    for name in {mount["name"] for mount in mounts} ^ set(there):
        yield f"{which}: the volume {name} is {'not mounted' if name in there else 'not there'}"
    paths = [mount["mountPath"] for mount in rendered.container["volumeMounts"]]
    for mount in rendered.container["volumeMounts"]:
        if "subPath" in mount:
            yield f"{which}: {mount['mountPath']} is mounted by subPath, which is not updated"
        if any(other != mount["mountPath"] and mount["mountPath"].startswith(other + "/") for other in paths):
            yield f"{which}: {mount['mountPath']} lies in another mount"
    maps = {thing["metadata"]["name"]: thing["data"] for thing in rendered.of("ConfigMap")}
    for volume in rendered.pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            if "configMap" in source and source["configMap"]["name"] not in maps:
                yield f"{which}: the ConfigMap {source['configMap']['name']} is not there"
            for item in source.get("configMap", {}).get("items", []):
                if item["key"] not in maps.get(source["configMap"]["name"], {}):
                    yield f"{which}: the ConfigMap {source['configMap']['name']} has no {item['key']}"
    ledger = [mount["name"] for mount in rendered.container["volumeMounts"] if mount["mountPath"] == "/var/lib/push-exporter"]
    demo = rendered.values.get("demo", {}).get("enabled", False)
    # A database needs no volume.
    file = not demo and not shared(rendered)
    kept = file and rendered.values.get("persistence", {}).get("enabled", True)
    own = kept and not rendered.values.get("persistence", {}).get("existingClaim")
    if bool(ledger) != file or claims != (["ledger"] if own else []):
        yield f"{which}: the ledger is mounted from {ledger}, claims are {claims}"


def monitored(rendered: Rendered, monitor: dict, target: dict) -> Iterator[str]:
    """The target is the Service, or the pod whose ports have the same name."""
    kind, spec = monitor["kind"], monitor["spec"]
    if not within(spec["selector"]["matchLabels"], target["metadata"]["labels"]):
        yield f"{rendered.name}: the {kind} does not select its target"
    if spec["namespaceSelector"] != {"matchNames": [rendered.namespace]}:
        yield f"{rendered.name}: the {kind} looks in {spec['namespaceSelector']}"
    endpoints = endpoints_of(monitor)
    ports = [port["name"] for port in rendered.one("Service")["spec"]["ports"]] if MONITORS[kind] == "Service" else rendered.ports()
    for endpoint in endpoints:
        if endpoint["port"] not in ports:
            yield f"{rendered.name}: the {kind} scrapes port {endpoint['port']}"
        if endpoint.get("honorLabels") is not True:
            yield f"{rendered.name}: honorLabels is not true"
        made = {one["targetLabel"] for one in endpoint.get("relabelings", endpoint.get("relabelConfigs", []))}
        if not {"job", "instance"} <= made:
            yield f"{rendered.name}: the {kind} sets only {sorted(made)}"
    if not rendered.one("Service")["spec"].get("publishNotReadyAddresses"):
        yield f"{rendered.name}: senders would wait until the pod is ready"


def endpoints_of(monitor: dict) -> list[dict]:
    return monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]


def routed(rendered: Rendered, route: dict, service: dict) -> Iterator[str]:
    for rule in route["spec"]["rules"]:
        if [match["path"] for match in rule["matches"]] != [{"type": "Exact", "value": "/api/v1/messages"}]:
            yield f"{rendered.name}: the HTTPRoute lets in {rule['matches']}"
        (port,) = service["spec"]["ports"]
        if rule["backendRefs"] != [{"name": service["metadata"]["name"], "port": port["port"]}]:
            yield f"{rendered.name}: the HTTPRoute leads to {rule['backendRefs']}"


def policed(rendered: Rendered, policy: dict) -> Iterator[str]:
    spec = policy["spec"]
    if not within(spec["podSelector"]["matchLabels"], rendered.pod["metadata"]["labels"]):
        yield f"{rendered.name}: the NetworkPolicy selects other pods"
    if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
        yield f"{rendered.name}: the NetworkPolicy is about {spec['policyTypes']}"
    for rule in spec["ingress"]:
        if not rule.get("from"):
            yield f"{rendered.name}: the NetworkPolicy lets everybody in"
        for port in rule["ports"]:
            if port["port"] not in rendered.ports():
                yield f"{rendered.name}: the NetworkPolicy knows a port {port['port']}"
    out = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    if not {53, 443} <= out and not rendered.values.get("demo", {}).get("enabled"):
        yield f"{rendered.name}: the NetworkPolicy lets out to {sorted(out)} alone"


def confined(which: str, spec: dict) -> Iterator[str]:
    """As the restricted Pod Security Standard wants it, and a root file system that is read-only."""
    pod = spec["securityContext"]
    wanted = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
    if not wanted.items() <= pod.items() or pod["seccompProfile"] != {"type": "RuntimeDefault"}:
        yield f"{which}: the pod's security context is {pod}"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{which}: a token of the service account is mounted"
    own = next(container for container in spec["containers"] if container["image"].split(":")[0].endswith("/push-exporter"))
    inside = own["securityContext"]
    if not {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}.items() <= inside.items():
        yield f"{which}: the container's security context is {inside}"
    if inside["capabilities"] != {"drop": ["ALL"]}:
        yield f"{which}: capabilities are {inside['capabilities']}"


def no_secrets(rendered: Rendered) -> Iterator[str]:
    """What is called a secret in a configuration is a file or a variable."""
    for thing in rendered.of("ConfigMap"):
        for name, text in thing["data"].items():
            if not name.endswith(".yml"):
                continue
            found = re.findall(r"^[\s-]*((?:\w*(?:secret|token|password))\b):\s*(.*)$", text, re.M)
            for key, value in found:
                if not re.fullmatch(r"\$\{\w+\}", value):
                    yield f"{rendered.name}: {key} stands in the ConfigMap {thing['metadata']['name']}"


def stored(chart: Path, rendered: Rendered) -> int:
    """Bytes of the Secret in which Helm keeps a release, about: the chart and what it became, compressed."""

    def files(*patterns: str) -> list[dict]:
        paths = (path for pattern in patterns for path in chart.glob(pattern) if path.is_file())
        return [{"name": str(path), "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]

    parts = {"templates": files("templates/**/*"), "files": files("files/*/*", "*.md", "values.*")}
    release = compact({"chart": parts, "manifest": "\n".join(map(compact, rendered.objects))})
    return len(base64.b64encode(gzip.compress(release.encode(), 9)))
