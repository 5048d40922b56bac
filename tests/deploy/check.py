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
    ("compose.config.yml", compose.override),
    ("prometheus.yml", prometheus.config),
    ("rules", prometheus.rules),
    ("RUNBOOK.md, names", runbook.names),
    ("RUNBOOK.md, queries", runbook.queries),
    ("Grafana's provisioning", provisioning.provisioning),
    ("alertmanager.yml", alertmanager.config),
    ("alertmanager.yml, incidents", alertmanager.incidents),
    ("show_alerts.py", alertmanager.shown),
]


OF_REPLICAS = [
    ("compose.replicas.yml, keys", compose.keys),
    ("compose.replicas.yml, services", compose.services),
    ("prometheus.replicas.yml", prometheus.config),
]


def main() -> int:
    repository = Repository(common.parser(__doc__).parse_args().root)
    replicas = Repository(repository.root, "deploy/compose.replicas.yml")
    checks = [(name, check(repository)) for name, check in CHECKS]
    return common.main(checks + [(name, check(replicas)) for name, check in OF_REPLICAS], PROGRAMS)


if __name__ == "__main__":
    sys.exit(main())
