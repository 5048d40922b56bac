"""App: everything about one account at a provider: its funnel, channels, messages, users, quotas, read ratios, and
whether its numbers come."""

from . import links, thresholds
from .panels import Column, bars, frame, lines, matrix, number, row, table
from .queries import (
    APP,
    CATEGORY,
    CHANNEL,
    CLICKS,
    DATA_AGE,
    DELIVERY,
    DISPLAY,
    RECORDED_APP,
    RECORDED_CATEGORY,
    RECORDED_CHANNEL,
    SPEED,
    SUCCESS,
    now,
    ratio,
    series,
    total,
)
from .shared import firing_alerts, newest_message, refused_ids, reports_failing, tracked_messages
from .variables import OF_CATEGORIES

UID = "push-app"

OF_ROUTE = ["platform", "channel"]
BY_ROUTE = ", ".join(OF_ROUTE)
ROUTE = "{{platform}}/{{channel}}"
TO_CHANNEL = [links.of_line("Channel", "push-channel", OF_ROUTE)]


def _funnel(metric, legend):
    return now(total(f"increase({metric}{{{CHANNEL}}}[$__range])"), legend)


def _of_category(metric):
    return total(f"category:push_messages_{metric}:increase1d{{{RECORDED_CATEGORY}}}", "app, category")


def _share(part, whole):
    return f"{_of_category(part)}\n  / ({_of_category(whole)} > 0)"


def _newest(title, metric):
    return Column(title, "short", f"max by (app, msg_id) ({metric}{{{APP}}})")


def _of_window(by, metric):
    return f"sum by ({by}) ({metric}{{{APP}}})"


def _read(by, kind, within):
    prefix = f"push_{kind}window_messages"
    return f"{_of_window(by, f'{prefix}_read_within_{within}')}\n  / ({_of_window(by, f'{prefix}_sent')} > 0)"


def _read_in_days(within, legend):
    return series(f"app:push_messages_read_within_{within}_per_sent:ratio_increase3d{{{RECORDED_APP}}}", legend)


def dashboard():
    window, department = "provider, app, window", "app, department, window"
    return frame(
        UID,
        "Push / App",
        "One account at a provider: its funnel, channels, messages, users, quotas and read ratios.",
        OF_CATEGORIES,
        firing_alerts("the selected apps, or for no app"),
        reports_failing(),
        number(
            "Success, last hour",
            "Share that channels accepted of what they were given, all channels together. An alert fires for a "
            "channel below 70 %.",
            "percentunit",
            now(ratio(SUCCESS, "1h", RECORDED_CHANNEL)),
            limits=thresholds.SUCCESS,
            top=1,
            none="not told",
        ),
        number(
            "Delivered within 10 min",
            "Of each message's pushes in the last hour, the share that had arrived when it was ten minutes old. Only "
            "JPush's messages tell.",
            "percentunit",
            now(ratio(SPEED, "1h", RECORDED_CHANNEL)),
            top=1,
            none="not told",
        ),
        number(
            "Sent, 24 hours",
            "Deliveries sent in the last 24 hours, as the counters grew: Feishu's of two days ago.",
            "short",
            now(total(f"channel:push_messages_sent:increase1d{{{RECORDED_CHANNEL}}}")),
            none="nothing",
        ),
        newest_message(),
        row("What becomes of the pushes"),
        [
            bars(
                "Funnel, in the time range",
                "Deliveries by how far they came, as the counters grew in the selected time range. A stage that the "
                "provider does not tell is not there, and a later stage may belong to earlier pushes.",
                "short",
                _funnel("push_messages_targeted_total", "targeted"),
                _funnel("push_messages_sent_total", "sent"),
                _funnel("push_messages_failed_total", "failed"),
                _funnel("push_messages_received_total", "received"),
                _funnel("push_messages_displayed_total", "displayed"),
                _funnel("push_messages_clicked_total", "clicked"),
                _funnel("push_messages_read_within_1h_total", "read within 1 h"),
                _funnel("push_messages_read_within_12h_total", "read within 12 h"),
                none="No pushes",
                height=9,
            ),
            lines(
                "Sent in an hour by channel",
                "Deliveries sent in the hour before. Without Feishu and Getui, which count a day at once.",
                "short",
                series(total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}}", BY_ROUTE), ROUTE),
                stacked=True,
                many=True,
                data_links=TO_CHANNEL,
                none="No pushes",
                height=9,
            ),
        ],
        table(
            "Channels, 24 hours",
            "Sent in 24 hours by platform and channel, and what became of it. Empty: the provider does not say.",
            OF_ROUTE,
            Column("Sent", "short", total(f"channel:push_messages_sent:increase1d{{{RECORDED_CHANNEL}}}", BY_ROUTE)),
            Column("Success", "percentunit", ratio(SUCCESS, "1d", RECORDED_CHANNEL, BY_ROUTE), thresholds.SUCCESS),
            Column("Delivered", "percentunit", ratio(DELIVERY, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            Column("Displayed", "percentunit", ratio(DISPLAY, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            Column("Clicked", "percentunit", ratio(CLICKS, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            sort="Sent",
            data_links=[links.of_row("Channel", "push-channel", OF_ROUTE)],
            none="No pushes",
            span=12,
            height=18,
        ),
        lines(
            "Success by channel",
            "Share that the channel accepted of what it was given in the hour before. Easemob: sent of sent and "
            "failed; JPush, EngageLab: sent of targeted.",
            "percentunit",
            series(ratio(SUCCESS, "1h", RECORDED_CHANNEL, BY_ROUTE), ROUTE),
            worst="min",
            limits=thresholds.SUCCESS,
            top=1,
            floor=0.5,
            many=True,
            data_links=TO_CHANNEL,
            none="Not told, or no pushes",
        ),
        lines(
            "Delivery by channel",
            "Share of what was sent that has arrived, over six hours.",
            "percentunit",
            series(ratio(DELIVERY, "6h", RECORDED_CHANNEL, BY_ROUTE), ROUTE),
            worst="min",
            top=1,
            many=True,
            data_links=TO_CHANNEL,
            none="Not told, or no pushes",
        ),
        lines(
            "Delivered within 10 min, by channel",
            "Share that had arrived when a message was ten minutes old, over an hour. A channel that falls away from "
            "its usual is slow.",
            "percentunit",
            series(ratio(SPEED, "1h", RECORDED_CHANNEL, BY_ROUTE), ROUTE),
            worst="min",
            top=1,
            many=True,
            data_links=TO_CHANNEL,
            none="Not told, or no messages",
            span=24,
        ),
        row("Messages of JPush"),
        table(
            "Newest messages",
            "The newest messages one by one, if newest_messages is set for the app. From push_newest_message_…, "
            "gauges of what JPush says now.",
            ["app", "msg_id"],
            _newest("Targeted", "push_newest_message_targeted"),
            _newest("Sent", "push_newest_message_sent"),
            _newest("Received", "push_newest_message_received"),
            _newest("Displayed", "push_newest_message_displayed"),
            _newest("Clicked", "push_newest_message_clicked"),
            sort="Msg id",
            none="newest_messages is not set",
            span=14,
        ),
        lines(
            "Registered in an hour",
            "Message ids that were new in the hour before, by where they came from. Nothing in working hours: the "
            "senders do not register any more.",
            "short",
            series(
                total(f"increase(push_messages_registered_total{{{APP}}}[1h])", "app, source"), "{{app}} {{source}}"
            ),
            worst="min",
            many=True,
            none="No app of JPush",
            span=10,
        ),
        tracked_messages(),
        refused_ids(),
        lines(
            "Taken back by the provider, in a day",
            "How far numbers fell in the day before below what had been counted; counters do not follow them down. An "
            "alert fires above a hundredth of what was counted. From push_messages_restated_total.",
            "short",
            series(
                total(f"increase(push_messages_restated_total{{{APP}}}[1d])", "app, metric") + " > 0",
                "{{app}} {{metric}}",
            ),
            many=True,
            none="Nothing taken back",
            span=8,
        ),
        row("Categories: campaigns told apart"),
        table(
            "Categories, 24 hours",
            "The funnel of messages that were registered with a category, in the last 24 hours. Delivered: received of sent; "
            "clicked: of received.",
            ["app", "category"],
            Column("Targeted", "short", _of_category("targeted")),
            Column("Sent", "short", _of_category("sent")),
            Column("Received", "short", _of_category("received")),
            Column("Delivered", "percentunit", _share("received", "sent")),
            Column("Displayed", "short", _of_category("displayed")),
            Column("Clicked", "percentunit", _share("clicked", "received")),
            sort="Sent",
            none="No message has a category",
            span=12,
        ),
        lines(
            "Sent in an hour, by category",
            "Deliveries sent in the hour before, of messages that were registered with a category.",
            "short",
            series(total(f"increase(push_messages_sent_total{{{CATEGORY}}}[1h])", "app, category"), "{{app}} {{category}}"),
            many=True,
            none="No message has a category",
        ),
        row("Users, quotas, test devices of JPush"),
        matrix(
            "Users by platform",
            "Users who were new, online and active in the newest closed hour, day and month. Users cannot be added up "
            "over windows. From push_users.",
            "short",
            "state",
            ["app", "window", "platform"],
            now(f"max by (app, window, platform, state) (push_users{{{APP}}})"),
            none="users is not set, or not in the plan",
            height=18,
        ),
        [
            bars(
                "Vendor quota used",
                "How much of what a vendor takes from the app in a day is used; beyond it pushes are refused until "
                "midnight. An alert fires above 90 %. From push_vendor_quota_used and push_vendor_quota.",
                "percentunit",
                now(
                    f"max by (app, channel, class) (push_vendor_quota_used{{{APP}}})\n"
                    f"  / (max by (app, channel, class) (push_vendor_quota{{{APP}}}) > 0)",
                    "{{app}} {{channel}} {{class}}",
                ),
                limits=thresholds.high_is_bad(0.8, 0.9),
                top=1,
                none="vendor_quota is not set",
                height=9,
            ),
            bars(
                "Test devices, 24 hours",
                "What became of the newest messages on the test devices, a device once for each message. foreign: the "
                "device belongs to another app; many undelivered: devices that are off. From push_test_devices.",
                "none",
                now(f"max by (app, status) (push_test_devices{{{APP}}})", "{{app}} {{status}}"),
                none="test_devices is not set",
                height=9,
            ),
        ],
        row("Windows, and read messages of Feishu"),
        table(
            "Newest closed windows",
            "The newest closed hour, day, week and month of each app, and when it ended. Feishu tells what was sent, "
            "how many read it within an hour and within twelve (they may exceed what was sent: a chat has several "
            "readers), and users reached. From push_window_….",
            ["provider", "app", "window"],
            Column("Sent", "short", _of_window(window, "push_window_messages_sent")),
            Column("Read 1 h", "percentunit", _read(window, "", "1h")),
            Column("Read 12 h", "percentunit", _read(window, "", "12h")),
            Column("Users", "short", _of_window(window, "push_window_users_reached")),
            Column(
                "Ended",
                "dateTimeAsIso",
                f"1000 * max by ({window}) (push_window_end_timestamp_seconds{{{APP}}})",
                width=164,
            ),
            none="No app with windows",
            height=10,
        ),
        [
            table(
                "Departments",
                "The same by department. Departments nest, so they do not add up. From push_department_window_….",
                ["app", "department", "window"],
                Column("Sent", "short", _of_window(department, "push_department_window_messages_sent")),
                Column("Read 1 h", "percentunit", _read(department, "department_", "1h")),
                Column("Read 12 h", "percentunit", _read(department, "department_", "12h")),
                Column("Users", "short", _of_window(department, "push_department_window_users_reached")),
                none="No departments are set",
                span=13,
                height=8,
            ),
            lines(
                "Read ratio, three days",
                "Readers within an hour and within twelve, of what was sent, as the counters grew in three days: Feishu's "
                "come once a day, two days late. From the third day on.",
                "percentunit",
                _read_in_days("1h", "{{app}} within 1 h"),
                _read_in_days("12h", "{{app}} within 12 h"),
                worst="min",
                many=True,
                none="No app of Feishu, or not three days yet",
                span=13,
                height=6,
            ),
        ],
        table(
            "Age of the numbers",
            "How long ago each report last brought a new number, and how long ago it was last polled with success. "
            "Feishu: a day or two are normal; reports of days and months are as old as their windows.",
            ["provider", "app", "report"],
            Column("New number", "s", DATA_AGE),
            Column(
                "Success",
                "s",
                f"time() - max by (provider, app, report) (push_poll_last_success_timestamp_seconds{{{APP}}})",
            ),
            sort="New number",
            unseen=["provider"],
            data_links=[links.of_row("Exporter health", "push-exporter", ["provider", "app"])],
            none="No reports",
            span=11,
            height=14,
        ),
    )
