"""Panels that stand in several dashboards."""

from . import thresholds
from .panels import lines, number
from .queries import APP, EXPORTER, UNTOLD, alerts, now, of_exporters, series, total

# Of a share of the usual.
UNTOLD_IS = {str(UNTOLD): ("not told", thresholds.NOTHING)}


def firing_alerts(matchers, of_what, span=4):
    return number(
        "Firing alerts",
        f"Alerts that fire for {of_what}, from the rules in prometheus/rules. Red: somebody should be looking already.",
        "none",
        now(alerts(matchers, "critical"), "critical"),
        now(alerts(matchers, "warning"), "warning"),
        limits=thresholds.ANY_WANTS_A_LOOK,
        apart={"critical": thresholds.ANY_IS_BAD},
        named=True,
        none="no rules",
        span=span,
    )


def reports_failing(span=4):
    return number(
        "Reports failing",
        "Reports whose last poll failed (push_up is 0). Their counters stand still and catch up later. Exporter health "
        "says which and why.",
        "none",
        now(total(f"push_up{{{APP}}} == bool 0")),
        limits=thresholds.ANY_IS_BAD,
        none="no reports",
        span=span,
    )


def exporters():
    return number(
        "Exporters down",
        "Exporters that Prometheus cannot scrape, or that cannot write their ledger and therefore do not poll. Counters "
        "catch up when they are well again. From up and push_exporter_ledger_up.",
        "none",
        now(
            f"count(\n  {of_exporters(f'up{{{EXPORTER}}}')} == 0\n"
            f"  or on (job, instance) push_exporter_ledger_up{{{EXPORTER}}} == 0\n)\n"
            f"  or 0 * count(push_exporter_ledger_up{{{EXPORTER}}})"
        ),
        limits=thresholds.ANY_IS_BAD,
        words={"0": ("none", "green")},
        none="no exporter",
    )


def exporters_down():
    return number(
        "Exporters down",
        "Exporters that Prometheus cannot scrape. Counters catch up when they are back. From up.",
        "none",
        now(total(of_exporters(f"up{{{EXPORTER}}}") + " == bool 0")),
        limits=thresholds.ANY_IS_BAD,
        words={"0": ("all up", "green")},
        none="no exporter",
    )


def ledger():
    return number(
        "Ledger",
        "Whether every exporter can write its ledger. If not, polls pause and the page stands still until it can: look at "
        "the disk. From push_exporter_ledger_up.",
        "none",
        now(f"min(push_exporter_ledger_up{{{EXPORTER}}})"),
        limits=thresholds.MUST_BE_ONE,
        words={"0": ("failing", "red"), "1": ("up", "green")},
        none="no exporter",
    )


def tracked_messages():
    return lines(
        "Tracked messages",
        "Messages that are polled: live, or waiting for a first number. Many that wait: ids of another app, or pushes that "
        "never went out. From push_tracked_messages.",
        "short",
        series(total(f"push_tracked_messages{{{APP}}}", "app, state"), "{{app}} {{state}}"),
        many=True,
        none="No app of JPush",
        span=8,
    )


def refused_ids():
    return lines(
        "Ids refused and bad lines, in an hour",
        "Ids that JPush refused and lines of files that were no ids, in the hour before. They are not counted; the log and "
        "the status page name them. Normally 0.",
        "none",
        series(total(f"increase(push_rejected_messages_total{{{APP}}}[1h])", "app"), "{{app}} refused"),
        series(total(f"increase(push_message_file_bad_lines_total{{{APP}}}[1h])", "app"), "{{app}} bad lines"),
        limits=thresholds.ANY_WANTS_A_LOOK,
        many=True,
        none="No app of JPush",
        span=8,
    )
