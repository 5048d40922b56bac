"""Links from dashboard to dashboard. They keep the variables and the time range, and narrow them to the row or line."""

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from .variables import OF_APPS, OF_CHANNELS

TAG = "push-exporter"
_VARIABLES = {"push-channel": OF_CHANNELS, "push-app": OF_CHANNELS, "push-exporter": OF_APPS}


def between_dashboards():
    return (
        DashboardLink("Push dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


RUNBOOK = "https://github.com/push-exporter/push-exporter/blob/main/prometheus/RUNBOOK.md"


def runbook():
    return DashboardLink("Runbook").type(DashboardLinkType.LINK).url(RUNBOOK).target_blank(True)


def of_line(title: str, uid: str, labels: list[str], kept: list[str] = OF_APPS):
    """From a line, bar or number: its labels. `kept` are the variables of the dashboard it stands in."""
    return _link(title, uid, {label: "${__field.labels.%s:percentencode}" % label for label in labels}, kept)


def of_row(title: str, uid: str, labels: list[str], kept: list[str] = OF_APPS):
    """From a row of a table: its columns."""
    return _link(title, uid, {label: "${__data.fields.%s:percentencode}" % label for label in labels}, kept)


def _link(title: str, uid: str, narrowed: dict[str, str], kept: list[str]):
    parts = ["${datasource:queryparam}"]
    for name in _VARIABLES[uid]:
        if name in narrowed:
            parts.append(f"var-{name}={narrowed[name]}")
        elif name in kept and not (name == "instance" and _VARIABLES[uid] == OF_CHANNELS):
            parts.append("${%s:queryparam}" % name)
    return DashboardLink(title).type(DashboardLinkType.LINK).url(f"/d/{uid}?{'&'.join(parts)}&${{__url_time_range}}")
