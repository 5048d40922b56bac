"""What JPush's own SDK reads of one app, as series of the exporter's page.

Usage: jpush_numbers.py REPORT_URL APP APP_KEY MASTER_SECRET REPORT MSG_IDS DAY MONTH SENT DEVICES

Prints a JSON object from series to number. The field maps are written down here once more, from JPush's
document, so that a mistake in the exporter's own is seen.
"""

import collections
import json
import sys

import jpush
from jpush import common

url, app, key, secret, report, ids, day, month, sent, devices = sys.argv[1:]
common.ZONES["DEFAULT"]["REPORT"] = url
client = jpush.JPush(key, secret).create_report()
series = collections.Counter()


def delivery(metric, platform, channel, kind, value):
    if value:
        labels = f'provider="jpush",app="{app}",platform="{platform}",channel="{channel}",kind="{kind}"'
        series[f"push_messages_{metric}_total{{{labels}}}"] += value


METRICS = {"target": "targeted", "sent": "sent", "received": "received", "display": "displayed", "click": "clicked"}
CHANNELS = {"jg_android": "jpush", "jg_ios": "jpush", "quick_jg": "jpush"}

if report == "received":
    for item in client.get_received(ids).payload:
        delivery("received", "android", "any", "any", item.get("android_received"))
        delivery("sent", "ios", "apns", "notification", item.get("ios_apns_sent"))
        delivery("received", "ios", "apns", "notification", item.get("ios_apns_received"))
        delivery("received", "ios", "jpush", "message", item.get("ios_msg_received"))
elif report == "received_detail":
    for item in client.get_received_detail(ids).payload:
        delivery("received", "any", "jpush", "any", item.get("jpush_received"))
        delivery("sent", "android", "vendor", "any", item.get("android_pns_sent"))
        delivery("received", "android", "vendor", "any", item.get("android_pns_received"))
        for direction in ("sent", "received"):
            delivery(direction, "ios", "apns", "notification", item.get(f"ios_apns_{direction}"))
            delivery(direction, "hmos", "hmpns", "notification", item.get(f"hmos_hmpns_{direction}"))
        delivery("received", "quickapp", "jpush", "any", item.get("quickapp_jpush_received"))
elif report == "messages":
    for item in client.get_messages(ids).payload:
        android, ios = item["android"], item["ios"]
        delivery("targeted", "android", "any", "any", android.get("target"))
        delivery("pushed_online", "android", "any", "any", android.get("online_push"))
        delivery("received", "android", "any", "any", android.get("received"))
        delivery("clicked", "android", "any", "notification", android.get("click"))
        delivery("clicked", "android", "any", "message", android.get("msg_click"))
        delivery("targeted", "ios", "apns", "notification", ios.get("apns_target"))
        delivery("sent", "ios", "apns", "notification", ios.get("apns_sent"))
        delivery("received", "ios", "apns", "notification", ios.get("apns_received"))
        delivery("clicked", "ios", "apns", "notification", ios.get("click"))
        delivery("targeted", "ios", "jpush", "message", ios.get("target"))
        delivery("received", "ios", "jpush", "message", ios.get("received"))
        delivery("clicked", "ios", "jpush", "message", ios.get("msg_click"))
else:
    for item in client.get_messages_detail(ids).payload:
        for kind, totals in item["details"].items():
            for name, channels in totals.items():
                if not name.startswith("sub_"):
                    continue
                for channel, counts in channels.items():
                    for field, metric in METRICS.items():
                        channel = CHANNELS.get(channel, channel)
                        delivery(metric, name[len("sub_") :], channel, kind, counts.get(field))
    # What is not by message.
    for window, unit, start in (("day", "DAY", day), ("month", "MONTH", month)):
        for item in client.get_users(unit, start, "1").payload["items"]:
            if item.pop("time") == start:
                for platform, states in item.items():
                    for state, count in states.items():
                        labels = f'provider="jpush",app="{app}",platform="{platform}",state="{state}",window="{window}"'
                        series[f"push_users{{{labels}}}"] = count
    statuses = ["delivered", "undelivered", "foreign", "not_targeted", "error"]
    for msg_id in ids.split(","):
        answer = client.get_status_message(int(msg_id), devices.split(","), sent).payload
        for device in answer.values():
            labels = f'provider="jpush",app="{app}",status="{statuses[device["status"]]}"'
            series[f"push_test_devices{{{labels}}}"] += 1

json.dump(series, sys.stdout)
