"""What OneSignal's own SDK reads of an app, as series of the exporter's page.

Usage: onesignal_numbers.py URL APP APP_ID API_KEY SINCE

Walks through all messages that were sent since then (ISO 8601), and adds up their numbers. Prints a JSON object from series to
number.
"""

import json
import sys
import time

import onesignal
from onesignal.api import default_api

url, app, app_id, api_key, since = sys.argv[1:]
PLATFORMS = {
    "ios": ("ios", "apns"),
    "android": ("android", "fcm"),
    "huawei": ("android", "huawei"),
    "chrome_web_push": ("web", "chrome"),
    "edge_web_push": ("web", "edge"),
    "firefox_web_push": ("web", "firefox"),
    "safari_web_push": ("web", "safari"),
}
METRICS = {"successful": "sent", "failed": "failed", "errored": "failed", "received": "received", "converted": "clicked"}


series = {}
configuration = onesignal.Configuration(host=url, rest_api_key=api_key)
with onesignal.ApiClient(configuration) as client:
    api = default_api.DefaultApi(client)
    offset = since
    while True:
        try:
            page = api.get_notifications(app_id, limit=3, time_offset=offset)
        except onesignal.ApiException as error:
            # The exporter asks too, and both share one request a second.
            if error.status != 429:
                raise
            time.sleep(int(error.headers["Retry-After"]))
            continue
        if not page.notifications:
            break
        for message in page.notifications:
            # As an attribute, the SDK compares it among the types that it composes a message of, which differ.
            for key, part in message.to_dict()["platform_delivery_stats"].items():
                if key == "email":
                    continue
                platform, channel = PLATFORMS[key]
                for field, metric in METRICS.items():
                    labels = f'provider="onesignal",app="{app}",platform="{platform}",channel="{channel}",kind="notification"'
                    name = f"push_messages_{metric}_total{{{labels}}}"
                    series[name] = series.get(name, 0) + part[field]
        offset = page.next_time_offset
json.dump(series, sys.stdout)
