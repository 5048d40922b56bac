"""What the workflows must be like, beyond what linters know: limits of time and permissions, actions by commit, files that
are there, one Rust."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from common import read

PINNED = re.compile(r"uses: +([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$")
# GitHub's own, and the one signer: a new one is a decision, not an oversight.
TRUSTED = re.compile(r"actions/[\w-]+|sigstore/cosign-installer")
SCRIPT = re.compile(r"(?:\.github/scripts|tests/release|\.ci)/[\w.-]+")
FILE = re.compile(r"(?<![\w./$\"-])(?:deploy|tests|docs)/[\w./-]+")


def workflows(root: Path) -> list[Path]:
    return sorted(root.glob(".github/workflows/*.yml"))


def all_jobs(root: Path) -> Iterator[tuple[str, dict]]:
    for path in workflows(root):
        for name, job in read(path)["jobs"].items():
            yield f"{path.name}, {name}", job


def commands_of(root: Path) -> Iterator[tuple[str, str]]:
    for name, job in all_jobs(root):
        for step in job.get("steps", []):
            if "run" in step:
                yield name, step["run"]


def jobs(root: Path, _binary: Path) -> Iterator[str]:
    for path in workflows(root):
        if read(path)["permissions"] != {}:
            yield f"{path.name}: permissions are not {{}}, for each job to name its own"
    count = 0
    for name, job in all_jobs(root):
        count += 1
        if "permissions" not in job:
            yield f"{name}: no permissions"
        if "uses" not in job and not 0 < job.get("timeout-minutes", 0) <= 90:
            yield f"{name}: no timeout-minutes, or more than 90"
        if "write" in job.get("permissions", {}).values() and job.get("environment") != "release":
            yield f"{name}: it may write, but not only in the environment release"
    return f"{count} jobs with a time limit and permissions of their own"


def actions(root: Path, _binary: Path) -> Iterator[str]:
    commits: dict[str, set[str]] = {}
    for path in workflows(root):
        for line in path.read_text("utf-8").splitlines():
            if "uses:" not in line or "uses: $/.github/" in line:
                continue
            match = PINNED.search(line)
            if not match:
                yield f"{path.name}: {line.strip()}: not a full commit with its version"
            else:
                commits.setdefault(match[1], set()).add(match[2])
    for action, found in commits.items():
        if not TRUSTED.fullmatch(action):
            yield f"{action} is none of the trusted actions"
        if len(found) > 1:
            yield f"{action} at different commits: {', '.join(sorted(found))}"
    return f"{len(commits)} actions, each at one commit"


def commands(root: Path, _binary: Path) -> Iterator[str]:
    files = set()
    for name, command in commands_of(root):
        if "${{" in command:
            yield f"{name}: an expression inside a command; hand it over in env"
        for script in SCRIPT.findall(command):
            if not os.access(root / script, os.X_OK):
                yield f"{name}: {script} is not there, or not executable"
        for file in FILE.findall(command):
            files.add(file)
            if not (root / file).exists():
                yield f"{name}: {file} is not there"
    used = {script for _, command in commands_of(root) for script in SCRIPT.findall(command)}
    for script in sorted(root.glob(".github/scripts/*")):
        if script.is_file() and str(script.relative_to(root)) not in used:
            yield f"{script.name} is used by no workflow"
    return f"{len(used)} scripts and {len(files)} files that are there"


def rust(root: Path, _binary: Path) -> Iterator[str]:
    text = "\n".join(path.read_text("utf-8") for path in [*workflows(root), root / "Dockerfile"])
    found = set(re.findall(r"\brust:(\d+\.\d+)|RUSTUP_TOOLCHAIN: \"([\d.]+)\"", text))
    versions = sorted({version for several in found for version in several if version})
    if len(versions) != 1:
        yield f"workflows and Dockerfile use several Rusts, or none: {', '.join(versions)}"
    return f"{', '.join(versions)} in workflows and Dockerfile"
