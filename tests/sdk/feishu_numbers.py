"""What Feishu's own SDK reads of an app, as series of the exporter's page.

Usage: feishu_numbers.py URL APP APP_ID APP_SECRET DAY WEEK MONTH

Prints a JSON object from series to number.
"""

import json
import sys

import lark_oapi
from lark_oapi.api.application.v6 import (
    MessagePushOverviewApplicationAppUsageRequest as Request,
    MessagePushOverviewApplicationAppUsageRequestBody as Body,
)

url, app, app_id, secret, day, week, month = sys.argv[1:]
client = lark_oapi.Client.builder().app_id(app_id).app_secret(secret).domain(url).build()
names = {
    "send_msg_count": "messages_sent",
    "send_user_count": "users_reached",
    "read_in_1h_count": "messages_read_within_1h",
    "read_in_12h_count": "messages_read_within_12h",
}
series = {}
for window, cycle, date in (("day", 1, day), ("week", 2, week), ("month", 3, month)):
    body = Body.builder().date(date).cycle_type(cycle).build()
    request = Request.builder().app_id(app_id).request_body(body).build()
    response = client.application.v6.application_app_usage.message_push_overview(request)
    assert response.success(), (response.code, response.msg)
    for item in response.data.items:
        name = names[item.metric_name]
        labels = f'provider="feishu",app="{app}"'
        if name != "users_reached":
            labels += ',platform="any",channel="bot",kind="message"'
        series[f'push_window_{name}{{{labels},window="{window}"}}'] = item.metric_value
json.dump(series, sys.stdout)
