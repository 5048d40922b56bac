"""Checks what operators are given around the rules: deploy/, prometheus/prometheus.yml, RUNBOOK.md, Grafana's provisioning.
Prints what was checked, a line each; then what is wrong; exit code 1 if something is. Needs prometheus with promtool and
prometheus-alertmanager with amtool. Alertmanagers and a receiver of their notifications are started, on 127.0.0.1."""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import alertmanager
import compose
import prometheus
import provisioning
import runbook
from common import run
from repository import Repository

PROGRAMS = ["promtool", "amtool", "prometheus", "prometheus-alertmanager"]
CHECKS = [
    ("compose.yml, keys", compose.keys),
    ("compose.yml, services", compose.services),
    ("compose.yml, commands", compose.commands),
    ("prometheus.yml", prometheus.config),
    ("rules", prometheus.rules),
    ("RUNBOOK.md, names", runbook.names),
    ("RUNBOOK.md, queries", runbook.queries),
    ("Grafana's provisioning", provisioning.provisioning),
    ("alertmanager.yml", alertmanager.config),
    ("alertmanager.yml, incidents", alertmanager.incidents),
]


def programs() -> Iterator[str]:
    for program in PROGRAMS:
        if not shutil.which(program):
            yield f"{program} is not installed"
    return ", ".join(PROGRAMS)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="of the repository")
    repository = Repository(arguments.parse_args().root)
    wrong = run("programs", programs())
    if not wrong:
        wrong = [message for name, check in CHECKS for message in run(name, check(repository))]
    for message in wrong:
        print(message, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
