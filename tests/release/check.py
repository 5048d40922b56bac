"""Checks what makes a release, as far as it runs without GitHub: the versions, the scripts of the workflows, really run, the workflows
themselves, the dependencies. Prints what was checked, a line each; then what is wrong; exit code 1 if something is. Needs shellcheck
and a C compiler besides tests/requirements.txt. The program is started, on 127.0.0.1."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests/deploy"))

import common
import linters
import policy
import scripts

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
    ("workflows, Rust", policy.rust),
]


def main() -> int:
    arguments = common.parser(__doc__)
    arguments.add_argument("--binary", type=Path, required=True, help="of the program, built without a revision")
    arguments.add_argument("--package-files", type=Path, required=True, help="the folder that deploy/package_files.rs fills")
    given = arguments.parse_args()
    os.environ["PACKAGE_FILES"] = str(given.package_files.resolve())
    root, binary = given.root.resolve(), given.binary.resolve()
    programs = [*PROGRAMS, *map(linters.beside_python, linters.PYTHON_PROGRAMS)]
    return common.main([(name, check(root, binary)) for name, check in CHECKS], programs)


if __name__ == "__main__":
    sys.exit(main())
