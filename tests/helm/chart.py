"""The chart itself: what Chart.yaml says, its schema against its values, its links into the repository, helm lint, helm package."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema

from common import read
from tools import Rendered, helm, helms, render, version

# What the schema allows for the sake of parent charts.
PARENTS = {"global", "enabled"}


def meta(chart: Path) -> Iterator[str]:
    said = read(chart / "Chart.yaml")
    wanted = {"apiVersion": "v2", "name": chart.name, "type": "application"}
    for key, value in wanted.items():
        if said.get(key) != value:
            yield f"{key} is {said.get(key)}, not {value}"
    for key in ("description", "kubeVersion", "home", "sources", "maintainers"):
        if not said.get(key):
            yield f"{key} is missing"
    for name in ("README.md", "values.schema.json", ".helmignore", "templates/NOTES.txt"):
        if not (chart / name).is_file():
            yield f"{name} is missing"
    return f"version {said['version']} and what a chart has to say of itself"


def keys(values: dict, schema: dict, path: str = "") -> Iterator[str]:
    """Where the schema lists keys it lists those of values.yaml, and no others."""
    listed = schema.get("properties")
    if not listed or schema.get("additionalProperties", True) is not False:
        return
    for key in sorted(values.keys() ^ listed.keys() - (PARENTS if not path else set())):
        # Empty in values.yaml, and what goes in is the Operator's.
        if values:
            yield f"{path}{key} is {'not in the schema' if key in values else 'not in values.yaml'}"
    for key in values.keys() & listed.keys():
        if isinstance(values[key], dict):
            yield from keys(values[key], listed[key], f"{path}{key}.")


def schema(chart: Path) -> Iterator[str]:
    text = json.loads((chart / "values.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft7Validator
    if text["$schema"] != validator.META_SCHEMA["$schema"].removesuffix("#") + "#":
        yield f"{text['$schema']} is not draft 7, the newest that all Helms 3 know"
    validator.check_schema(text)
    values = read(chart / "values.yaml")
    for error in validator(text).iter_errors(values):
        yield f"values.yaml: {'.'.join(map(str, error.path))}: {error.message}"
    yield from keys(values, text)
    return f"valid, and has the {len(values)} keys of values.yaml"


def secret_keys(root: Path, chart: Path) -> Iterator[str]:
    """What the exporter takes as a secret is what the chart refuses as text."""
    sources = "".join(path.read_text("utf-8") for path in (root / "src").rglob("*.rs"))
    known = set(re.findall(r'\bsecret\("(\w+)"', sources))
    (pattern,) = re.findall(r'regexMatch "(\S+)" \$key', (chart / "templates/_helpers.tpl").read_text("utf-8"))
    for key in sorted(known):
        if not re.search(pattern, key):
            yield f"the exporter has a secret {key}, which the chart lets pass as text"
    if len(known) < 6:
        yield f"in src there are but the secrets {', '.join(sorted(known))}"
    return ", ".join(sorted(known))


def links(root: Path, chart: Path) -> Iterator[str]:
    """Dashboards are those of the repository; the rules with default thresholds are compared where they are rendered."""
    link = chart / "files/dashboards"
    if not link.is_symlink() or os.path.isabs(os.readlink(link)):
        yield "files/dashboards is no relative link"
    elif link.resolve() != (root / "grafana/dashboards").resolve() or not link.is_dir():
        yield f"files/dashboards leads to {os.readlink(link)}, not to grafana/dashboards"
    for path in chart.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            yield f"{path.relative_to(chart)} leads out of the repository"
    return "dashboards are the repository's"


def lint(chart: Path, sets: dict[str, Path]) -> Iterator[str]:
    for program in helms():
        for values in (None, *sets.values()):
            arguments = ["--values", values] if values else []
            said = helm(program, "lint", "--strict", chart, *arguments)
            for line in said.splitlines():
                if re.match(r"\[(WARNING|ERROR)\]", line):
                    yield f"Helm {version(program)}: {line}"
    return f"helm lint --strict of {', '.join(map(version, helms()))}"


def package(chart: Path, sets: dict[str, Path]) -> Iterator[str]:
    """What is packed has the files behind the links, and every Helm makes the same of folder and package."""
    compared = 0
    for name, values in sets.items():
        made = []
        with tempfile.TemporaryDirectory() as folder:
            for program in helms():
                helm(program, "package", chart, "--destination", folder)
                (packed,) = Path(folder).glob("*.tgz")
                size = packed.stat().st_size
                made += [render(program, chart, values, name), render(program, packed, values, name)]
                packed.unlink()
        if any(other != made[0] for other in made[1:]):
            yield f"{name}: Helm {' and '.join(map(version, helms()))}, from the folder and from a package, differ"
        compared += len(made)
    return f"{compared} renderings are the same from folder and package; the package has {size // 1024} KiB"


# What Kubernetes does not let a StatefulSet change.
FIXED = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")


def upgrade(chart: Path, sets: dict[str, Path]) -> Iterator[str]:
    """A newer chart and other values change nothing that cannot be changed; only a change of config restarts for its own sake."""
    with tempfile.TemporaryDirectory() as folder:
        newer, values = Path(folder, "push-exporter"), Path(folder, "values.yaml")
        shutil.copytree(chart, newer)
        text, changed = re.subn(r"(?m)^(version|appVersion): .*", r"\1: 9.9.9", (chart / "Chart.yaml").read_text("utf-8"))
        if changed != 2:
            yield f"Chart.yaml has {changed} lines of version and appVersion"
        (newer / "Chart.yaml").write_text(text)

        def stateful(which: Path, name: str, more: str) -> dict:
            values.write_text(sets[name].read_text("utf-8") + more)
            return Rendered(name, values, render(helms()[-1], which, values, "r")).one("StatefulSet")["spec"]

        other = "\nimage: {tag: v9}\ncommonLabels: {a: b}\npodLabels: {c: d}\nservice: {port: 80, labels: {e: f}}\n"
        old, new = stateful(chart, "minimal", ""), stateful(newer, "minimal", other)
        for key in FIXED:
            if old[key] != new[key]:
                yield f"an upgrade would change {key} from {old[key]} to {new[key]}"
        if old["template"]["spec"]["containers"][0]["image"] == new["template"]["spec"]["containers"][0]["image"]:
            yield "an upgrade would not change the image"
        for name, restarts in (("minimal", False), ("restarted", True)):
            changed = sets[name].read_text("utf-8").replace("app: shop", "app: store")
            before = stateful(chart, name, "")
            values.write_text(changed)
            after = Rendered(name, values, render(helms()[-1], chart, values, "r")).one("StatefulSet")["spec"]
            if (before["template"] != after["template"]) != restarts:
                yield f"{name}: a change of config restarts the pod: {not restarts}"
            if stateful(chart, name, "\nlog: {level: info}\n") != before:
                yield f"{name}: a value that stays the same restarts the pod"
    return f"{', '.join(FIXED)} stay; a change of config restarts the pod where it shall"


def notes(chart: Path, sets: dict[str, Path]) -> Iterator[str]:
    """Only the newest Helm renders notes without a cluster."""
    wanted = {
        "minimal": ["There is no ServiceMonitor", "exec minimal-push-exporter-0 -- push-exporter check"],
        "demo": ["simulated providers", "as job push/demo-push-exporter", "demo's invented incidents"],
        "ephemeral": ["WARNING: persistence is off", "/api/v1/messages"],
        "claim": ["as job push-exporter", "service/push "],
        "full": ["https://localhost:10110/", "10110:8443", "https://full-push.push.svc:8443/api/v1/messages"],
    }
    for name, parts in wanted.items():
        command = ["install", name, chart, "--namespace", "push", "--dry-run=client", "--values", sets[name]]
        said = helm(helms()[-1], *command).split("NOTES:\n")[-1]
        for part in parts:
            if part not in said:
                yield f"{name}: no word of {part!r} in: {said}"
    return f"NOTES.txt of {len(wanted)} sets of values"
