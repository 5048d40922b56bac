"""What EngageLab's own SDK reads of one app, as series of the exporter's page: the given messages and those of every push plan.

Usage: engagelab_numbers.py BASE_URL APP APP_KEY MASTER_SECRET MSG_IDS DAY FROM TO

Prints a JSON object from series to number. The field map is written down here once more, from EngageLab's document, so that
a mistake in the exporter's own is seen.
"""

import collections
import json
import sys

from engagelab import Client

url, app, key, secret, ids, day, first, last = sys.argv[1:]
client = Client(key, secret, base_url=url)
series = collections.Counter()

METRICS = {
    "targets": "targeted",
    "sent": "sent",
    "delivered": "received",
    "impressions": "displayed",
    "clicks": "clicked",
}
CHANNELS = {name: "engagelab" for name in ("engageLab_android", "engageLab_ios", "engageLab_hmos")}
CHANNELS["harmonyos"] = "hmpns"


def count(kind, platform, channel, counts):
    kind = {"inapp_message": "inapp"}.get(kind, kind)
    channel = CHANNELS.get(channel, channel)
    labels = f'provider="engagelab",app="{app}",platform="{platform}",channel="{channel}",kind="{kind}"'
    for field, metric in METRICS.items():
        series[f"push_messages_{metric}_total{{{labels}}}"] += counts[field]


messages = ids.split(",")
for plan in client.plan.list(page_size=100).push_plan_info:
    name = plan.get("plan_id") or plan["push_id"]
    messages += client.plan.query_msg(name, first, last)[name]["msg_ids"]
for message in client.status.message_detail(messages).values():
    for kind, totals in message["sub"].items():
        for name, channels in totals.items():
            if not name.startswith("sub_"):
                continue
            platform = name[len("sub_") :]
            if "targets" in channels:
                count(kind, platform, "apns", channels)
                continue
            for channel, counts in channels.items():
                count(kind, platform, channel, counts)
for item in client.status.users("DAY", day, 1).items:
    for platform in ("android", "ios", "hmos"):
        for state, value in item[platform].items():
            labels = f'provider="engagelab",app="{app}",platform="{platform}",state="{state}",window="day"'
            series[f"push_users{{{labels}}}"] = value

json.dump(series, sys.stdout)
