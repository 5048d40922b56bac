"""Checks what makes a release, as far as it runs without GitHub: the versions, the scripts of the workflows, really run, the workflows
themselves, the dependencies. Prints what was checked, a line each; then what is wrong; exit code 1 if something is. Needs shellcheck
and a C compiler besides tests/requirements.txt. The program is started, on 127.0.0.1."""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests/deploy"))

import linters
import policy
import scripts
from common import run

PROGRAMS = ["bash", "cargo", "cc", "curl", "gzip", "python3", "readelf", "sha256sum", "shellcheck", "tar"]
CHECKS = [
    ("versions", scripts.versions),
    ("notes", scripts.notes),
    ("archive", scripts.archive),
    ("checksums", scripts.checksums),
    ("static.sh", scripts.static),
    ("smoke.sh", scripts.smoke),
    ("shellcheck", linters.shellcheck),
    ("actionlint", linters.actionlint),
    ("zizmor", linters.zizmor),
    ("cargo-deny", linters.cargo_deny),
    ("workflows, jobs", policy.jobs),
    ("workflows, actions", policy.actions),
    ("workflows, commands", policy.commands),
    ("workflows, tools", policy.tools),
]


def programs() -> Iterator[str]:
    for program in PROGRAMS:
        if not shutil.which(program):
            yield f"{program} is not installed"
    for program in linters.PYTHON_PROGRAMS:
        if not linters.beside_python(program).exists():
            yield f"{program} is not installed: tests/requirements.txt"
    return ", ".join([*PROGRAMS, *linters.PYTHON_PROGRAMS])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, default=ROOT, help="of the repository")
    arguments.add_argument("--binary", type=Path, required=True, help="of the program, built without a revision")
    given = arguments.parse_args()
    wrong = run("programs", programs())
    if not wrong:
        wrong = [message for name, check in CHECKS for message in run(name, check(given.root.resolve(), given.binary.resolve()))]
    for message in wrong:
        print(message, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
