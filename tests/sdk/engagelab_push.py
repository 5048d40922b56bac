"""Pushes by EngageLab's own SDK, and prints its answers, a line each; the last push is under a plan, and is not printed.

Usage: engagelab_push.py BASE_URL APP_KEY MASTER_SECRET PLAN
"""

import json
import sys

from engagelab import Client

url, key, secret, plan = sys.argv[1:]
client = Client(key, secret, base_url=url)


def push(**body):
    return client.push.send_raw({"from": "push", "to": "all", "body": {"platform": "all", **body}})


for content in ({"notification": {"alert": "a text"}}, {"message": {"msg_content": "a text"}}):
    answer = push(**content)
    print(json.dumps({"request_id": answer.request_id, "msg_id": answer.msg_id}))
push(notification={"alert": "another"}, options={"plan_id": plan})
