"""Pushes by JPush's own SDK, and prints its answers as they came, a line each; the last line is the id of a schedule.

Usage: jpush_push.py PUSH_URL APP_KEY MASTER_SECRET
"""

import sys

import jpush
from jpush import common

url, key, secret = sys.argv[1:]
common.ZONES["DEFAULT"]["PUSH"] = url
common.ZONES["DEFAULT"]["SCHEDULE"] = url + "schedules"
client = jpush.JPush(key, secret)


def push(**content):
    one = client.create_push()
    one.platform, one.audience = jpush.all_, jpush.all_
    for name, value in content.items():
        setattr(one, name, value)
    return one


answers = []
request = client.session.request


def keep(*args, **kwargs):
    response = request(*args, **kwargs)
    answers.append(response.text)
    return response


client.session.request = keep
push(notification=jpush.notification(alert="a text")).send()
push(message=jpush.message(msg_content="a text")).send()
push(notification=jpush.notification(alert="another")).send()
print("\n".join(answers))
schedule = {
    "name": "daily",
    "enabled": True,
    "trigger": {"single": {"time": "2027-01-01 12:00:00"}},
    "push": push(notification=jpush.notification(alert="x")).payload,
}
print(client.create_schedule().post_schedule(schedule).payload["schedule_id"])
