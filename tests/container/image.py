"""Looks at a built image: what its configuration says, whose its files are, that it has what the program needs and nothing
to work with for who breaks in. Prints how large it is, beside the Debian image that it does without.

    image.py NAME REVISION FOLDER        # FOLDER: for what is thrown away"""

import json
import re
import sys
import tarfile
from pathlib import Path

from container import USER, Wrong, command, need

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "User": f"{USER}:{USER}",
    "Entrypoint": ["push-exporter"],
    "Cmd": ["--config.file=/etc/push-exporter/push-exporter.yml"],
    "ExposedPorts": {"10110/tcp": {}},
    "WorkingDir": "/etc/push-exporter",
    "Env": ["PATH=/usr/local/bin"],
}
LABELS = {
    "title": "push-exporter",
    "source": "https://github.com/push-exporter/push-exporter",
    "documentation": "https://github.com/push-exporter/push-exporter#readme",
    "licenses": "Apache-2.0",
}
# Packages whose files are in the image, as its scanners find them.
PACKAGES = {"ca-certificates", "libc6", "libgcc-s1", "tzdata"}
OF_THE_USER = "var/lib/push-exporter"
MB = 1_000_000


def inspect(name: str) -> dict:
    return json.loads(command("buildah", "inspect", "--type", "image", name))["Docker"]


def config(image: dict, revision: str) -> str:
    found = image["config"]
    for key, expected in CONFIG.items():
        need(found.get(key) == expected, f"{key} is {found.get(key)}, not {expected}")
    need(not found.get("Volumes"), f"there are anonymous volumes: {found.get('Volumes')}")
    check = found.get("Healthcheck") or {}
    need(check.get("Test") == ["CMD", "push-exporter", "health"], f"the health check is {check}")
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in found["Labels"].items()}
    for key, expected in {**LABELS, "revision": revision}.items():
        need(labels.get(key) == expected, f"the label {key} is {labels.get(key)}, not {expected}")
    need(labels.get("description"), "there is no label description")
    return f"user {found['User']}, health check every {check['Interval'] // 10**9} s, {image['architecture']}"


class Layer:
    """The one layer of an image as a registry has it. With more, what one removes another would still carry."""

    def __init__(self, name: str, folder: Path):
        command("buildah", "push", "--quiet", name, f"oci:{folder}:it")

        def blob(descriptor: dict) -> Path:
            return folder / "blobs" / descriptor["digest"].replace(":", "/")

        index = json.loads((folder / "index.json").read_text("utf-8"))
        layers = json.loads(blob(index["manifests"][0]).read_text("utf-8"))["layers"]
        need(len(layers) == 1, f"{name} has {len(layers)} layers")
        self.compressed = layers[0]["size"]
        self.tar = tarfile.open(blob(layers[0]))
        self.members = {member.name.strip("/"): member for member in self.tar}

    def size(self, *prefixes: str) -> int:
        return sum(member.size for name, member in self.members.items() if name.startswith(prefixes or ""))

    def read(self, name: str) -> bytes:
        need(name in self.members, f"there is no /{name}")
        return self.tar.extractfile(self.members[name]).read()


def rights(layer: Layer) -> str:
    """Whose the files are: the user may write the ledger's folder and the temporary one."""
    for name, member in layer.members.items():
        owner = (USER, USER) if name == OF_THE_USER else (0, 0)
        need((member.uid, member.gid) == owner, f"/{name} is of {member.uid}:{member.gid}, not {owner[0]}:{owner[1]}")
        need(not member.mode & 0o6000, f"/{name} is set-uid or set-gid")
        if name == "tmp":
            need(member.mode & 0o7777 == 0o1777, f"/tmp has the mode {member.mode:o}")
        elif not member.issym():
            need(not member.mode & 0o022, f"/{name} has the mode {member.mode:o}")
    need(OF_THE_USER in layer.members, f"there is no /{OF_THE_USER}")
    need("tmp" in layer.members, "there is no /tmp")
    return f"{len(layer.members)} files and folders, all of root but /{OF_THE_USER}"


def contents(layer: Layer) -> str:
    libraries = {name for name in layer.members if re.search(r"^lib.*\.so\.\d+$", name)}
    programs = {name for name, member in layer.members.items() if member.isfile() and member.mode & 0o111}
    others = programs - libraries - {"usr/local/bin/push-exporter"}
    need(not others, f"there are programs besides push-exporter: {', '.join(sorted(others))}")
    certificates = layer.read("etc/ssl/certs/ca-certificates.crt").count(b"BEGIN CERTIFICATE")
    need(certificates > 100, f"there are {certificates} CA certificates")
    need(layer.read("usr/share/zoneinfo/Asia/Shanghai").startswith(b"TZif"), "Asia/Shanghai is no time zone")
    status = "var/lib/dpkg/status.d/"
    packages = {name.removeprefix(status) for name in layer.members if name.startswith(status)}
    need(packages == PACKAGES, f"scanners find {', '.join(sorted(packages))}")
    for package in packages:
        need(f"Package: {package}\n" in layer.read(status + package).decode(), f"no status of {package}")
        need(layer.members.get(f"usr/share/doc/{package}/copyright"), f"no copyright of {package}")
    return f"one program, {len(libraries)} shared libraries, {certificates} CA certificates, time zones"


def sizes(layer: Layer, without: Layer) -> str:
    parts = {
        "program": layer.size("usr/local/bin"),
        "libraries": layer.size("lib"),
        "time zones": layer.size("usr/share/zoneinfo"),
        "certificates": layer.size("etc/ssl"),
    }
    told = ", ".join(f"{name} {size / MB:.1f}" for name, size in parts.items())
    need(layer.size() < 30 * MB, f"{layer.size() / MB:.1f} MB are no small image")
    return (
        f"{layer.size() / MB:.1f} MB, {layer.compressed / MB:.1f} MB compressed ({told}); "
        f"on top of Debian's slim image it would be {without.size() / MB:.1f} and {without.compressed / MB:.1f} MB more"
    )


def main() -> int:
    name, revision, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    runtime = re.search(r"^ARG RUNTIME_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)[1]
    try:
        print(f"ok      configuration: {config(inspect(name), revision)}")
        layer = Layer(name, folder / "image")
        print(f"ok      rights: {rights(layer)}")
        print(f"ok      contents: {contents(layer)}")
        print(f"ok      size: {sizes(layer, Layer(runtime, folder / 'base'))}")
    except Wrong as wrong:
        print(f"FAILED  {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
