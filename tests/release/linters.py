"""Programs that judge by rules of their own: shellcheck, actionlint, zizmor, cargo-deny."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# They come with tests/requirements.txt, into the same folder as this Python.
PYTHON_PROGRAMS = ["actionlint", "zizmor", "cargo-deny"]


def beside_python(program: str) -> Path:
    return Path(sys.executable).with_name(program)


def judged(root: Path, *command: object) -> Iterator[str]:
    """What a program says when it does not succeed."""
    settings = {**os.environ, "NO_COLOR": "1", "CARGO_TERM_COLOR": "never"}
    done = subprocess.run(list(map(str, command)), cwd=root, env=settings, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        yield f"exit code {done.returncode}\n{(done.stdout + done.stderr).strip()}"


def shellcheck(root: Path, _binary: Path) -> Iterator[str]:
    files = sorted(root.glob(".github/scripts/*.sh"))
    if not files:
        yield "no scripts"
    yield from judged(root, "shellcheck", *files)
    return f"{len(files)} scripts"


def actionlint(root: Path, _binary: Path) -> Iterator[str]:
    files = sorted(root.glob(".github/workflows/*.yml"))
    if not files:
        yield "no workflows"
    yield from judged(root, beside_python("actionlint"), "-no-color", "-shellcheck", "shellcheck", *files)
    return f"{len(files)} workflows, with shellcheck"


def zizmor(root: Path, _binary: Path) -> Iterator[str]:
    """Without the questions that it would put to GitHub."""
    yield from judged(root, beside_python("zizmor"), "--offline", "--persona", "auditor", "--no-progress", ".github")
    return "everything in .github, all rules"


def cargo_deny(root: Path, _binary: Path) -> Iterator[str]:
    """Without advisories, whose database is at GitHub; the workflow asks for them."""
    yield from judged(root, beside_python("cargo-deny"), "--locked", "check", "bans", "licenses", "sources")
    return "bans, licences, sources"
