"""Panels that stand in several dashboards."""

from . import thresholds
from .panels import lines, number
from .queries import APP, alerts, now, series, total

def firing_alerts(of_what, span=4):
    return number(
        "Firing alerts",
        f"Alerts that fire for {of_what}, from the rules in prometheus/rules. Red: somebody should be looking already.",
        "none",
        now(alerts("critical"), "critical"),
        now(alerts("warning"), "warning"),
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


def newest_message():
    return number(
        "Newest message",
        "How long ago the newest message that the exporter knows was sent, of the app whose feed is oldest. What "
        "is not registered is not counted: when it grows in working hours, the senders or the message API are "
        "broken. JPush only.",
        "s",
        now(f"max(time() - push_newest_message_timestamp_seconds{{{APP}}})"),
        limits=thresholds.high_is_bad(thresholds.HOUR, thresholds.DAY),
        none="no messages",
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
