"""Overview: is anything wrong, and is it a channel, a provider, an app or the exporter? The others say why."""

from . import links, thresholds
from .panels import Column, frame, lines, matrix, number, row, states, table
from .queries import (
    ALERTS,
    APP,
    CHANNEL,
    DELIVERY_REPORTS,
    DELIVERY_USUAL,
    EXPORTER,
    RECORDED_APP,
    RECORDED_CHANNEL,
    SPEED_USUAL,
    SUCCESS_USUAL,
    now,
    of_enough,
    of_exporters,
    of_usual,
    series,
    total,
    worst_of_usual,
)
from .shared import firing_alerts, newest_message, reports_failing
from .variables import OF_CHANNELS

UID = "push-overview"

OF_ROUTE = ["provider", "platform", "channel"]
BY_ROUTE = ", ".join(OF_ROUTE)
BY_CHANNEL = "platform, channel"
OF_LANE = ["channel", "platform", "provider", "app", "what"]
BY_LANE = ", ".join(OF_LANE)
ROUTE = "{{channel}} {{platform}} · {{provider}}"
OF_ONE_APP = "{{channel}} · {{app}}"
TO_CHANNEL = [links.of_line("Channel", "push-channel", OF_ROUTE)]
TO_CHANNEL_OF_APP = [links.of_line("Channel", "push-channel", [*OF_ROUTE, "app"])]

ALERT = ["severity", "alertname", "provider", "app", "channel"]
SEVERITY = {"critical": ("critical", "red"), "warning": ("warning", "orange"), "info": ("info", "blue")}

STATES = {"1": ("worse", "orange"), "2": ("bad", "red")}

# So many of the channels that were bad are shown over time, and so many of the worst now.
LANES, WORST = 12, 3


def _in_an_hour(metric: str) -> str:
    return total(f"increase({metric}{{{CHANNEL}}}[1h])")


def _counted(metric: str) -> str:
    return total(f"increase({metric}{{{CHANNEL}}}[$__range])", "provider")


def _firing() -> str:
    """Since when, by severity."""
    firing = f'ALERTS{{{ALERTS}, alertstate="firing"}}'
    expr = f"1000 * ALERTS_FOR_STATE{{{ALERTS}}}\n  and ignoring (alertstate) {firing}"
    for place, severity in enumerate(SEVERITY, start=1):
        expr = f'label_replace({expr}, "order", "{place}", "severity", "{severity}")'
    return f"min by (order, {', '.join(ALERT)}) ({expr})"


def _lane(what: str, state: str, of) -> str:
    return f'label_replace({state} and {of.of}{{{RECORDED_CHANNEL}}} > {of.enough}, "what", "{what}", "", "")'


def _fallen(of, limits: thresholds.Limits) -> str:
    """0 as usual, 1 and 2 from the two limits of the share of the usual on."""
    (red, _), (orange, _) = limits.others
    share = f"{of.ratio}{{{RECORDED_CHANNEL}}} / {of.median}{{{RECORDED_CHANNEL}}}"
    return f"floor(clamp(1 + ({orange} - {share}) / {orange - red:.2f}, 0, 2))"


def _refused() -> str:
    """2 below 70 %, 1 a tenth below the usual."""
    success, usual = (f"{name}{{{RECORDED_CHANNEL}}}" for name in (SUCCESS_USUAL.ratio, SUCCESS_USUAL.median))
    return f"clamp_max(2 * ({success} < bool 0.7) + ({success} < bool (0.9 * {usual} or 0 * {success})), 2)"


def _lanes() -> str:
    """How each measure of each channel of each app is. Lanes are sorted by their labels, of which the one in capitals is
    the first: those of a channel stand together, through whichever provider."""
    lanes = [
        _lane("success", _refused(), SUCCESS_USUAL),
        _lane("delivery", _fallen(DELIVERY_USUAL, thresholds.DELIVERY_USUAL), DELIVERY_USUAL),
        _lane("speed", _fallen(SPEED_USUAL, thresholds.SPEED_USUAL), SPEED_USUAL),
    ]
    return 'label_join(\n  {},\n  "CHANNEL", " ", "channel", "platform", "provider", "app"\n)'.format(
        "\n  or ".join(lanes)
    )


def _bad_now() -> str:
    return f"max by ({BY_LANE}) ({_lanes()}) > 0"


def _bad_since() -> str:
    """When each lane that is bad now was last well, nothing if that is before the time range."""
    well = f"timestamp(max by ({BY_LANE}) ({_lanes()}) == 0)"
    return f"1000 * max_over_time({well}[$__range:5m])\n  and {_bad_now()}"


def _shares() -> str:
    """The success, and the shares of the usual of delivery and speed, of the lanes that are bad now."""
    shares = [
        ("success", of_enough(SUCCESS_USUAL, RECORDED_CHANNEL)),
        ("delivery", of_usual(DELIVERY_USUAL, RECORDED_CHANNEL)),
        ("speed", of_usual(SPEED_USUAL, RECORDED_CHANNEL)),
    ]
    told = "\n  or ".join(f'label_replace({share}, "what", "{what}", "", "")' for what, share in shares)
    return f"min by ({BY_LANE}) (\n  {told}\n)\nand {_bad_now()}"


def _bad_lanes() -> str:
    return f"{_lanes()}\nand topk({LANES}, sum_over_time({_lanes()}[$__range:10m] @ end()) > 0)"


def _matrix(title, description, expr, limits, none):
    """Channels by provider, worst first: "worst" is the least of each line."""
    return matrix(
        title,
        description,
        "percentunit",
        "provider",
        ["platform", "channel"],
        now(expr),
        now(f'label_replace(min by ({BY_CHANNEL}) ({expr}), "provider", "worst", "", "")'),
        limits=limits,
        order="worst",
        data_links=[links.of_row("Channel", "push-channel", ["platform", "channel"])],
        none=none,
        span=8,
        height=14,
    )


def dashboard():
    success = of_enough(SUCCESS_USUAL, RECORDED_CHANNEL)
    return frame(
        UID,
        "Push / Overview",
        "Push notifications by JPush, Easemob, Feishu, EngageLab, Getui and OneSignal: is anything wrong, and where?",
        OF_CHANNELS,
        reports_failing(),
        number(
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
            words={"0": ("none", thresholds.WELL)},
            none="no exporter",
        ),
        number(
            "Sent, last hour",
            "Deliveries that channels accepted in the last hour, from the counters themselves. Feishu and Getui count a "
            "day at once. From push_messages_sent_total.",
            "short",
            now(_in_an_hour("push_messages_sent_total")),
            none="nothing",
        ),
        number(
            "Accepted, last hour",
            "Share of what Easemob's channels were given in the last hour that they accepted, all together, from the counters "
            "themselves: 1 − failed / (sent + failed). JPush tells it of devices, which the numbers below have.",
            "percentunit",
            now(
                f"1 - {_in_an_hour('push_messages_failed_total')}\n"
                f"  / ({_in_an_hour('push_messages_failed_total')}\n"
                f"    + sum(increase(push_messages_sent_total{{{CHANNEL}}}[1h])\n"
                f"      and on (job, instance, provider, app, platform, channel, kind) increase(push_messages_failed_total{{{CHANNEL}}}[1h])) > 0)"
            ),
            limits=thresholds.SUCCESS,
            top=1,
            none="only Easemob tells",
        ),
        number(
            "Arrived, last hour",
            "Deliveries that arrived on devices in the last hour, from the counters themselves. From "
            "push_messages_received_total.",
            "short",
            now(_in_an_hour("push_messages_received_total")),
            none="not told",
        ),
        newest_message(),
        firing_alerts("the selected apps, or for no app", span=5),
        number(
            "Worst success",
            "The three lowest shares that a channel accepted of what it was given for an app in the last hour, of those with "
            "more than 100 pushes. Easemob: sent of sent and failed; JPush: sent of targeted. An alert fires below 70 %.",
            "percentunit",
            now(f"bottomk({WORST}, {success})", OF_ONE_APP),
            limits=thresholds.SUCCESS,
            named=True,
            listed=True,
            data_links=TO_CHANNEL_OF_APP,
            top=1,
            none="too few pushes",
            span=7,
        ),
        number(
            "Worst delivery vs. normal",
            "Of what a channel was sent for an app in six hours, or in the last hour if that is better, the share that has arrived, "
            "as a share of the median of its past week: the three lowest of those with more than 500 pushes. An alert fires below 80 %.",
            "percentunit",
            now(f"bottomk({WORST}, {of_usual(DELIVERY_USUAL, RECORDED_CHANNEL)})", OF_ONE_APP),
            limits=thresholds.DELIVERY_USUAL,
            named=True,
            listed=True,
            data_links=TO_CHANNEL_OF_APP,
            none="no past week yet",
            span=7,
        ),
        number(
            "Data age",
            "How long ago a delivery report last brought a new number, the oldest of each provider. Easemob changes "
            "with every push, JPush and EngageLab while messages are young, Getui and Feishu once a day: two days are normal after a quiet "
            "day. From push_data_last_change_timestamp_seconds.",
            "s",
            now(
                "max by (provider) (report:push_data_age:seconds"
                f'{{{RECORDED_APP}, report=~"{DELIVERY_REPORTS}"}})',
                "{{provider}}",
            ),
            limits=thresholds.high_is_bad(2 * thresholds.DAY, 3 * thresholds.DAY),
            apart={"feishu": thresholds.high_is_bad(3 * thresholds.DAY, 4 * thresholds.DAY)},
            named=True,
            listed=True,
            none="no rules",
            span=5,
        ),
        table(
            "Firing alerts, critical first",
            "Alerts that fire and since when, critical ones first. The runbook says for each what to look at and what to "
            "do.",
            ALERT,
            Column("Since", "dateTimeFromNow", _firing(), width=98),
            order="order",
            words={"severity": SEVERITY},
            data_links=[links.of_row("Channel", "push-channel", ["channel"])],
            none="No alert fires",
            span=14,
            height=9,
        ),
        table(
            "Failing reports",
            "Reports whose last poll failed, why, and when one last succeeded. auth and forbidden need a person; the "
            "exporter's status page says what to do. From push_poll_failing.",
            ["provider", "app", "report", "reason"],
            Column(
                "In 1 h",
                "none",
                f"sum by (provider, app, report, reason) (increase(push_poll_errors_total{{{APP}}}[1h]))\n"
                f"  and on (provider, app, report, reason) push_poll_failing{{{APP}}} == 1",
                width=60,
            ),
            Column(
                "Success",
                "dateTimeFromNow",
                f"1000 * max by (provider, app, report) (push_poll_last_success_timestamp_seconds{{{APP}}})\n"
                f"  and on (provider, app, report) push_poll_failing{{{APP}}} == 1",
                width=100,
            ),
            unseen=["provider"],
            data_links=[links.of_row("Exporter health", "push-exporter", ["provider", "app"])],
            none="No report fails",
            span=10,
            height=9,
        ),
        row("Which channel, of which app, since when?"),
        table(
            "Bad now",
            "Channels whose success, delivery or speed is worse than usual now, the worst first, and since when; the limits are "
            "those of the bands below. Share: for success what the channel accepts, else what is left of the usual. No time: "
            "since before the time range.",
            OF_LANE,
            Column("State", "none", _bad_now(), thresholds.high_is_bad(1, 2), STATES, width=70),
            Column("Share", "percentunit", _shares(), width=70),
            Column("Since", "dateTimeFromNow", _bad_since(), width=110),
            least_first=f"-1 * ({_bad_now()})",
            data_links=[links.of_row("Channel", "push-channel", [*OF_ROUTE, "app"])],
            none="No channel is worse than usual",
            height=7,
        ),
        states(
            "Channels that are worse than usual",
            f"The {LANES} that were bad for longest in the time range, by channel, platform, provider and app, and the worst "
            "of all channels. Success in an hour: orange a tenth below its median of the past week, red below 70 %. Delivery "
            "in six hours, or in the last hour if that is better: orange below nine tenths of its median, red below eight; it falls "
            "slowly, and is back an hour after the end. Speed, what arrived in ten minutes: orange below 0.85 of its median, red below 0.7. The same "
            "channel through several providers: the vendor. One app alone: its certificate or quota.",
            series(f"max({_lanes()})", "any channel"),
            series(_bad_lanes(), "{{CHANNEL}} · {{what}}"),
            words={"0": ("as usual", thresholds.QUIET)} | STATES,
            data_links=TO_CHANNEL_OF_APP,
            none="Too few pushes to tell",
            height=10,
        ),
        row("Is it the channel or the provider?"),
        _matrix(
            "Success by channel and provider, last hour",
            "Share that the channel accepted of what it was given, of the worst app with more than 100 pushes; the same "
            "vendor channel of two providers side by side, worst first. One column red: the provider, or what is "
            "registered there. A whole line red: the vendor. Empty: the provider does not say, or there were too few pushes.",
            f"min by ({BY_ROUTE}) ({success})",
            thresholds.SUCCESS,
            "No pushes in the last hour",
        ),
        _matrix(
            "Delivery by channel and provider vs. normal",
            "Share of what was sent that has arrived, as a share of the median of the past week, since there is no right "
            "number: vendors differ, and sent does not mean the same for all reports. Of the worst app with more than 500 "
            "pushes. An alert fires below 80 %. Empty: too few pushes, or not half a day of history.",
            worst_of_usual(DELIVERY_USUAL, RECORDED_CHANNEL, BY_ROUTE),
            thresholds.DELIVERY_USUAL,
            "No pushes in six hours",
        ),
        _matrix(
            "Delivered within 10 min vs. normal",
            "Share that had arrived when a message was ten minutes old, as a share of the median of the past week, of the "
            "worst app with more than 100 pushes: is the channel slow? Only JPush's messages tell. An alert fires below "
            "70 %. Empty: too few pushes, or not half a day of history.",
            worst_of_usual(SPEED_USUAL, RECORDED_CHANNEL, BY_ROUTE),
            thresholds.SPEED_USUAL,
            "No messages of JPush",
        ),
        lines(
            "Success by channel",
            "Share that each channel accepted of what it was given through each provider in the hour before, of the worst "
            "app with more than 100 pushes. One line that falls: the channel. All of a provider: the provider, or a "
            "certificate.",
            "percentunit",
            series(f"min by ({BY_ROUTE}) ({success})", ROUTE),
            worst="min",
            limits=thresholds.SUCCESS,
            top=1,
            floor=0.5,
            many=True,
            data_links=TO_CHANNEL,
            none="Too few pushes",
        ),
        lines(
            "Delivery by channel vs. normal",
            "Share of what was sent that has arrived, over six hours or the last hour if that is better, as a share of the median "
            "of the past week, of the worst app with more than 500 pushes.",
            "percentunit",
            series(f"min by ({BY_ROUTE}) (\n  {of_usual(DELIVERY_USUAL, RECORDED_CHANNEL)}\n)", ROUTE),
            worst="min",
            limits=thresholds.DELIVERY_USUAL,
            floor=0.5,
            many=True,
            data_links=TO_CHANNEL,
            none="No past week yet, or too few pushes",
        ),
        row("How much"),
        lines(
            "Sent in an hour, and a week before",
            "Deliveries sent in the hour before (a message to five devices counts five), dashed the same time of last "
            "week. Without Feishu and Getui, which count a day at once. Far below last week: a sender or an id feed is broken. "
            "Far above: one repeats itself.",
            "short",
            series(total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}}", "provider"), "{{provider}}"),
            series(
                total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}} offset 1w", "provider"),
                "{{provider}} last week",
            ),
            dashed="last week$",
            many=True,
            none="No pushes",
        ),
        lines(
            "Sent in a day",
            "Deliveries sent in the 24 hours before. Feishu's step comes at about 10:00, two days after the pushes.",
            "short",
            series(
                total(f"channel:push_messages_sent:increase1d{{{RECORDED_CHANNEL}}}", "provider, app"), "{{provider}} {{app}}"
            ),
            many=True,
            data_links=[links.of_line("App", "push-app", ["provider", "app"])],
            none="No pushes",
        ),
        table(
            "Funnel by provider, in the time range",
            "What became of the pushes, as the counters grew in the selected time range. Empty: the provider does not "
            "say. Not every channel has every stage, so for ratios see above, where both sides are there.",
            ["provider"],
            *(
                Column(title, "short", _counted(metric))
                for title, metric in {
                    "Targeted": "push_messages_targeted_total",
                    "Sent": "push_messages_sent_total",
                    "Failed": "push_messages_failed_total",
                    "Received": "push_messages_received_total",
                    "Displayed": "push_messages_displayed_total",
                    "Clicked": "push_messages_clicked_total",
                    "Read in 1 h": "push_messages_read_within_1h_total",
                    "Read in 12 h": "push_messages_read_within_12h_total",
                }.items()
            ),
            none="No pushes",
            height=5,
        ),
    )
