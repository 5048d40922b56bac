"""Checks what operators are given around the rules: deploy/, prometheus/prometheus.yml, RUNBOOK.md, Grafana's provisioning.
Prints what was checked, a line each; then what is wrong; exit code 1 if something is. Needs prometheus with promtool and
prometheus-alertmanager with amtool. Alertmanagers and a receiver of their notifications are started, on 127.0.0.1."""

import sys

import alertmanager
import common
import compose
import prometheus
import provisioning
import runbook
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


def main() -> int:
    repository = Repository(common.parser(__doc__).parse_args().root)
    return common.main([(name, check(repository)) for name, check in CHECKS], PROGRAMS)


if __name__ == "__main__":
    sys.exit(main())
