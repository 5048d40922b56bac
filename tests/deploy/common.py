"""What all checks use: running them and telling their outcome, reading YAML strictly, running a program, a free port."""

import argparse
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml


def run(name: str, check: Iterator[str]) -> list[str]:
    """What is wrong. A check is a generator of that, and what it returns says what was checked."""
    found = []
    try:
        while True:
            found.append(next(check))
    except StopIteration as end:
        said = end.value
    except (OSError, KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        said, found = None, [*found, f"cannot be checked: {type(error).__name__}: {error}"]
    print(f"{'FAILED' if found else 'ok':6}  {name}: {said or 'see below'}", flush=True)
    return [f"{name}: {message}" for message in found]


def parser(said: str) -> argparse.ArgumentParser:
    """Arguments of a script of checks."""
    made = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="of the repository")
    return made


def main(checks: Iterable[tuple[str, Iterator[str]]], programs: Iterable[str | Path] = ()) -> int:
    """Runs the checks if the programs are there. What is wrong comes last; the exit code."""
    missing = [f"{program} is not installed" for program in programs if not shutil.which(program)]
    wrong = missing or [message for name, check in checks for message in run(name, check)]
    for message in wrong:
        print(message, file=sys.stderr)
    return 1 if wrong else 0


class Strict(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win; here it is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path: Path):
    return yaml.load(path.read_text("utf-8"), Strict)


def told(*command: object) -> tuple[bool, str]:
    """Whether a program succeeds, and what it says."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
