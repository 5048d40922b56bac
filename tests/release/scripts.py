"""The scripts of the workflows, run: each does its work, and refuses what it is there to refuse."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from common import free_port, told

# A date, and one that no file of the repository has.
EPOCH = 1_000_000_000

CHANGELOG = """# Changelog

Words.

## Unreleased

- Not yet.

## 1.2.0 - 2031-02-03

- First, in two
  lines.
- Second:
  - a part.

Words of
 a paragraph.

## 1.2.0-rc.1 - 2031-01-01

- A candidate.
"""
NOTES = "- First, in two lines.\n- Second:\n  - a part.\n\nWords of a paragraph.\n"

# What stands where, and what it is spoilt to; VERSION is the right one, which lacks its day there.
SPOILT_VERSIONS = [
    ("Cargo.toml", r'^version = ".+"$', 'version = "9.9.9"'),
    ("Cargo.lock", r'(name = "push-exporter"\nversion = ").+"', r'\g<1>9.9.9"'),
    ("deploy/helm/push-exporter/Chart.yaml", r"^version: .+$", "version: 9.9.9"),
    ("deploy/helm/push-exporter/Chart.yaml", r"^appVersion: .+$", 'appVersion: "9.9.9"'),
    ("deploy/debian/changelog", r"\(.+?\)", "(9.9.9-1)"),
    ("CHANGELOG.md", r"^## .+$", "## 9.9.9 - 2031-01-01"),
    ("CHANGELOG.md", r"^## .+$", "## VERSION"),
]

# What an operator looks for in an archive; the rest is what the repository has of the same kind.
PACKED = [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "README.zh-CN.md",
    "deploy/systemd/push-exporter.service",
    "deploy/systemd/push-exporter.socket",
    "docs/completions/_push-exporter",
    "docs/completions/push-exporter.bash",
    "docs/completions/push-exporter.fish",
    "docs/man/push-exporter.1",
    "docs/man/push-exporter-serve.1",
    "docs/configuration.md",
    "docs/install.md",
    "docs/messages.md",
    "docs/metrics.md",
    "docs/operations.md",
    "grafana/dashboards/push-overview.json",
    "prometheus/RUNBOOK.md",
    "prometheus/rules/recording.yml",
    "push-exporter",
    "push-exporter.yml.example",
]

# Ways to link a program, and whether what comes out is static: in the end with an executable stack, with a loader but no
# library, and with a library but no loader.
LINKED = [
    (["-static"], True),
    (["-static-pie"], True),
    ([], False),
    (["-static", "-z", "execstack"], False),
    (["-pie", "-nostdlib", "-Wl,--entry=main"], False),
    (["-shared", "-fPIC", "-Wl,--no-as-needed", "-lm"], False),
]


def version_of(root: Path) -> str:
    return tomllib.loads((root / "Cargo.toml").read_text("utf-8"))["package"]["version"]


def spoilt(text: str, pattern: str, by: str) -> str:
    new = re.sub(pattern, by, text, count=1, flags=re.MULTILINE)
    if new == text:
        raise ValueError(f"{pattern} is nowhere")
    return new


def versions(root: Path, _binary: Path) -> Iterator[str]:
    script = root / "tests/release/versions.py"
    is_right, said = told(script)
    if not is_right:
        yield said
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in {name for name, _, _ in SPOILT_VERSIONS}:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, copy / name)
        changelog = (copy / "CHANGELOG.md").read_text("utf-8")
        (copy / "CHANGELOG.md").write_text(spoilt(changelog, r"^## .+$", f"## {version_of(root)} - 2031-01-01"))
        tag = f"v{version_of(root)}"
        if not told(script, "--root", copy, "--tag", tag)[0]:
            yield f"a release {tag} in order is refused"
        for wrong in ("v9.9.9", version_of(root)):
            if told(script, "--root", copy, "--tag", wrong)[0]:
                yield f"the tag {wrong} is taken"
        for name, pattern, by in SPOILT_VERSIONS:
            text = (copy / name).read_text("utf-8")
            (copy / name).write_text(spoilt(text, pattern, by.replace("VERSION", version_of(root))), "utf-8")
            if told(script, "--root", copy)[0]:
                yield f"{by} in {name} is taken"
            (copy / name).write_text(text, "utf-8")
        (copy / "CHANGELOG.md").write_text(changelog.replace("## ", "## Unreleased\n\n## ", 1), "utf-8")
        if told(script, "--root", copy, "--tag", tag)[0]:
            yield "a release with an unreleased section is taken"
    return f"{said}; {len(SPOILT_VERSIONS) + 3} wrong ones are refused"


def notes(root: Path, _binary: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ".github/scripts/notes.py"
        copy.parent.mkdir(parents=True)
        shutil.copy(root / ".github/scripts/notes.py", copy)
        (Path(folder) / "CHANGELOG.md").write_text(CHANGELOG, "utf-8")
        is_right, said = told(copy, "1.2.0")
        if not is_right or said != NOTES.strip():
            yield f"of 1.2.0 it says: {said}"
        for version in ("1.2", "1.2.1", "1.2.0-rc.2", "Unreleased"):
            if told(copy, version)[0]:
                yield f"{version} has notes"
    return "of an example, line by line"


def archive(root: Path, _binary: Path) -> Iterator[str]:
    """With a small program in the place of the real one, which takes its time to compress."""
    binary = Path(shutil.which("true"))
    version = version_of(root)
    name = f"push-exporter-{version}-linux-amd64"
    with tempfile.TemporaryDirectory() as folder:
        sums = []
        for number, umask in enumerate((0o022, 0o077)):
            out = Path(folder, str(number))
            is_right, said = scripted(root, "archive.sh", binary, version, "amd64", out, umask=umask, SOURCE_DATE_EPOCH=str(EPOCH))
            if not is_right or said != str(out / f"{name}.tar.gz"):
                yield f"archive.sh says: {said}"
                return None
            sums.append(hashlib.sha256((out / f"{name}.tar.gz").read_bytes()).hexdigest())
        if len(set(sums)) > 1:
            yield "packed twice, it has other bytes"
        with tarfile.open(Path(folder, "0", f"{name}.tar.gz")) as packed:
            members = packed.getmembers()
            yield from odd_members(members, name)
            if packed.extractfile(f"{name}/push-exporter").read() != binary.read_bytes():
                yield "the program in it is another one"
        if scripted(root, "archive.sh", binary, version, "amd64", folder)[0]:
            yield "without SOURCE_DATE_EPOCH it is packed"
        if scripted(root, "archive.sh", Path(folder, "nothing"), version, "amd64", folder, SOURCE_DATE_EPOCH="1")[0]:
            yield "without a program it is packed"
    return f"{len(members)} members, the same bytes twice"


def odd_members(members: list[tarfile.TarInfo], name: str) -> Iterator[str]:
    files = {member.name.removeprefix(f"{name}/") for member in members if member.isfile()}
    yield from (f"{file} is not in it" for file in PACKED if file not in files)
    for member in members:
        mode = 0o755 if member.isdir() or member.name == f"{name}/push-exporter" else 0o644
        is_plain = (member.isfile() or member.isdir()) and (member.uid, member.gid, member.mtime) == (0, 0, EPOCH)
        if member.mode != mode or not is_plain or not f"{member.name}/".startswith(f"{name}/"):
            yield f"{member.name} is odd: mode {member.mode:o}, {member.uid}:{member.gid}, date {member.mtime}"


def checksums(root: Path, _binary: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a b").write_text("", "utf-8")
        Path(folder, "c").write_text("c", "utf-8")
        # Twice: of itself it makes no sum.
        for _ in range(2):
            scripted(root, "checksums.sh", folder)
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        of_c = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"
        if (said := Path(folder, "SHA256SUMS").read_text("utf-8")) != f"{empty}  a b\n{of_c}  c\n":
            yield f"it says {said}"
        with tempfile.TemporaryDirectory() as nothing:
            if scripted(root, "checksums.sh", nothing)[0]:
                yield "of an empty folder it makes sums"
    return "as known"


def static(root: Path, _binary: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "main.c")
        source.write_text("int main(void) { return 0; }\n", "utf-8")
        for options, is_static in LINKED:
            made = Path(folder, "made")
            subprocess.run(["cc", *options, "-o", made, source], check=True, capture_output=True, timeout=60)
            if scripted(root, "static.sh", made)[0] is not is_static:
                yield f"a program made with {options} is {'refused' if is_static else 'taken'}"
        if scripted(root, "static.sh", source)[0]:
            yield "what is no program is taken"
    return "takes static programs, refuses dynamic ones and those with an executable stack"


def smoke(root: Path, binary: Path) -> Iterator[str]:
    version = version_of(root)
    is_right, said = scripted(root, "smoke.sh", binary, version, "unknown", SMOKE_PORT=str(free_port()))
    if not is_right:
        yield said
    if scripted(root, "smoke.sh", binary, version, "other", SMOKE_PORT=str(free_port()))[0]:
        yield "another revision is taken"
    if scripted(root, "smoke.sh", binary, "9.9.9", "unknown", SMOKE_PORT=str(free_port()))[0]:
        yield "another version is taken"
    return said.rpartition("/")[2]


def scripted(root: Path, script: str, *arguments: object, umask: int = -1, **settings: str) -> tuple[bool, str]:
    """Whether a script succeeds, and what it says; with these variables, and without any that the workflow sets."""
    ours = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    command = [root / ".github/scripts" / script, *map(str, arguments)]
    done = subprocess.run(
        command, env={**ours, **settings}, umask=umask, capture_output=True, text=True, check=False, timeout=120, cwd="/"
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()
