"""Channel: what a vendor channel does with the pushes of each provider and app. Is it the vendor, provider or app?"""

from . import links, thresholds
from .panels import Column, frame, lines, number, row, table
from .queries import (
    CHANNEL,
    CLICKS,
    DELIVERY,
    DELIVERY_USUAL,
    DISPLAY,
    RECORDED_CHANNEL,
    SPEED,
    SPEED_USUAL,
    SUCCESS,
    now,
    of_usual,
    ratio,
    series,
    total,
    worst_of_all,
    worst_of_usual,
)
from .shared import firing_alerts
from .variables import OF_CHANNELS

UID = "push-channel"

OF_APP = ["provider", "app"]
OF_ROUTE = ["provider", "app", "platform", "channel"]
BY_APP = ", ".join(OF_APP)
BY_ROUTE = ", ".join(OF_ROUTE)
OF_USUAL = "of usual"
APP_NAME = "{{provider}} {{app}}"
TO_APP = [links.of_line("App", "push-app", OF_APP, OF_CHANNELS)]


def _over_time(title, description, of, window, limits=None, floor=0, top=1):
    query = series(ratio(of, window, RECORDED_CHANNEL, BY_APP), APP_NAME)
    usual = {"worst": "min", "top": top, "floor": floor, "many": True, "data_links": TO_APP, "none": "No pushes"}
    return lines(title, description, "percentunit", query, limits=limits, **usual)


def dashboard():
    return frame(
        UID,
        "Push / Channel",
        "A vendor channel through every provider and app: success, delivery, speed, clicks and volume.",
        OF_CHANNELS,
        firing_alerts("what is selected, or for no channel"),
        number(
            "Success, last hour",
            "Share that the selected channels accepted of what they were given. Easemob: sent of sent and failed; "
            "JPush: sent of targeted. An alert fires below 70 %, or a tenth below the week's median.",
            "percentunit",
            now(ratio(SUCCESS, "1h", RECORDED_CHANNEL)),
            limits=thresholds.SUCCESS,
            top=1,
            none="no pushes",
        ),
        number(
            "Delivered within 10 min",
            "Of each message's pushes in the last hour, the share that had arrived when it was ten minutes old: is the "
            "channel slow now? Right and wrong differ by vendor, so beside it the worst share of a median of the past "
            "week; an alert fires below 70 %. From the counters …_at_10m of JPush.",
            "percentunit",
            now(ratio(SPEED, "1h", RECORDED_CHANNEL), "now"),
            now(f"min({of_usual(SPEED_USUAL, RECORDED_CHANNEL)})", OF_USUAL),
            apart={OF_USUAL: thresholds.SPEED_USUAL},
            named=True,
            listed=True,
            top=1,
            none="no pushes",
        ),
        number(
            "Delivery, 6 hours",
            "Share of what was sent in the last six hours that has arrived; it goes on arriving for hours. Of usual: "
            "the worst share of a median of the past week, of six hours or of the last hour if that is better; an alert fires "
            "below 80 %.",
            "percentunit",
            now(ratio(DELIVERY, "6h", RECORDED_CHANNEL), "now"),
            now(f"min({of_usual(DELIVERY_USUAL, RECORDED_CHANNEL)})", OF_USUAL),
            apart={OF_USUAL: thresholds.DELIVERY_USUAL},
            named=True,
            listed=True,
            top=1,
            none="no pushes",
        ),
        number(
            "Sent, last hour",
            "Deliveries sent in the last hour, without Feishu and Getui, which count a day at once.",
            "short",
            now(total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}}")),
            none="nothing",
        ),
        number(
            "Failed, last hour",
            "Deliveries that the channel refused in the last hour. Only Easemob tells.",
            "short",
            now(total(f"increase(push_messages_failed_total{{{CHANNEL}}}[1h])")),
            none="not told",
        ),
        row("Is it the provider or the app?"),
        _over_time(
            "Success",
            "Share accepted of what the channel was given in the hour before, by provider and app. One app alone "
            "falls: its certificate or quota with the vendor. All apps of a provider: the provider.",
            SUCCESS,
            "1h",
            thresholds.SUCCESS,
            floor=0.5,
        ),
        _over_time(
            "Delivery",
            "Share of what was sent that has arrived, over six hours. An alert fires a fifth below the week's median. "
            "JPush's messages_detail and EngageLab count as sent what was handed over, so their level differs from others'.",
            DELIVERY,
            "6h",
        ),
        _over_time(
            "Display",
            "Share of what arrived that was shown, over six hours. Only JPush's messages_detail and EngageLab tell. When it falls "
            "and delivery does not, users have turned notifications off or the app shows them no more.",
            DISPLAY,
            "6h",
        ),
        _over_time(
            "Clicks",
            "Share of what arrived that was clicked, over six hours. When it vanishes, the content, the link or the "
            "counting is broken.",
            CLICKS,
            "6h",
            top=None,
        ),
        lines(
            "The same vendor through each provider",
            "Share of what the vendor accepted that arrived, over an hour, only of apps whose sent means accepted: "
            "here the providers can be compared. One is low: the fault is with that provider. All are: with the "
            "vendor.",
            "percentunit",
            series(
                "vendor:push_messages_received_per_accepted:ratio_increase1h"
                '{job=~"$job", provider=~"$provider", platform=~"$platform", channel=~"$channel"}',
                "{{provider}} {{platform}}/{{channel}}",
            ),
            worst="min",
            top=1,
            many=True,
            none="No provider tells it of this channel",
            span=24,
        ),
        row("Is it slow?"),
        lines(
            "Delivered within 10 min, and normal",
            "Share that had arrived when a message was ten minutes old, over an hour; dashed the median of the past "
            "week, there after half a day. An alert fires below seven tenths of it.",
            "percentunit",
            series(
                f"channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h{{{RECORDED_CHANNEL}}}",
                "{{provider}} {{app}} {{platform}}/{{channel}}",
            ),
            series(
                f"channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h_median1w{{{RECORDED_CHANNEL}}}",
                "{{provider}} {{app}} {{platform}}/{{channel}} usual",
            ),
            worst="min",
            top=1,
            dashed="usual$",
            many=True,
            none="No messages, or none ten minutes old yet",
            span=24,
            height=9,
        ),
        row("How much"),
        lines(
            "Sent in an hour, and a week before",
            "Deliveries sent in the hour before, dashed the same time of last week. Without Feishu and "
            "Getui, which count a day at once.",
            "short",
            series(total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}}", BY_APP), APP_NAME),
            series(
                total(f"channel:push_messages_sent:increase1h{{{RECORDED_CHANNEL}}} offset 1w", BY_APP),
                f"{APP_NAME} last week",
            ),
            dashed="last week$",
            many=True,
            data_links=TO_APP,
            none="No pushes",
        ),
        lines(
            "Failed in an hour",
            "Deliveries that the channel refused in the hour before. Only Easemob tells. When it jumps: a "
            "certificate, a quota, or tokens of an app that was uninstalled.",
            "short",
            series(
                total(f"increase(push_messages_failed_total{{{CHANNEL}}}[1h])", BY_ROUTE),
                "{{app}} {{platform}}/{{channel}}",
            ),
            many=True,
            data_links=TO_APP,
            none="Only Easemob tells what failed",
        ),
        row("Compare"),
        table(
            "Apps and providers, 24 hours",
            "Every channel of every app through every provider: sent in 24 hours and what became of it, those worst "
            "against their usual first. Delivery and speed / usual: what arrived over six hours or the last hour if that is "
            "better, and in ten minutes over the last hour, as shares of the medians of the past week. Empty: the provider does not say, "
            "there were too few pushes, or not half a day of history.",
            OF_ROUTE,
            Column("Sent", "short", total(f"channel:push_messages_sent:increase1d{{{RECORDED_CHANNEL}}}", BY_ROUTE)),
            Column("Success", "percentunit", ratio(SUCCESS, "1d", RECORDED_CHANNEL, BY_ROUTE), thresholds.SUCCESS),
            Column("Delivered", "percentunit", ratio(DELIVERY, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            Column(
                "Delivery / usual",
                "percentunit",
                worst_of_usual(DELIVERY_USUAL, RECORDED_CHANNEL, BY_ROUTE),
                thresholds.DELIVERY_USUAL,
                width=128,
            ),
            Column(
                "Speed / usual",
                "percentunit",
                worst_of_usual(SPEED_USUAL, RECORDED_CHANNEL, BY_ROUTE),
                thresholds.SPEED_USUAL,
                width=112,
            ),
            Column("Displayed", "percentunit", ratio(DISPLAY, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            Column("Clicked", "percentunit", ratio(CLICKS, "1d", RECORDED_CHANNEL, BY_ROUTE)),
            least_first=worst_of_all(RECORDED_CHANNEL, BY_ROUTE),
            data_links=[
                links.of_row("This channel alone", UID, OF_ROUTE, OF_CHANNELS),
                links.of_row("App", "push-app", OF_APP, OF_CHANNELS),
            ],
            none="No pushes",
            height=11,
        ),
    )
