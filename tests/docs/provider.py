"""Providers whose numbers a check sets: Easemob's total of today, and what each of JPush's messages has received."""

import datetime
import http.server
import json
import re
import threading
import urllib.parse
import zoneinfo


class Provider(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.sent, self.received = 0, 0
        # Not another one at midnight.
        self.today = str(datetime.datetime.now(zoneinfo.ZoneInfo("Asia/Shanghai")).date())
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"access_token": "a token", "expires_in": 600000})

    def do_GET(self):
        if "/received/detail?" in self.path:
            ids = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["msg_ids"][0].split(",")
            self.answer([{"msg_id": id, "jpush_received": self.server.received} for id in ids])
        elif asked := re.search(r"/begin/(\S+)/end/([\d-]+)", self.path):
            today, numbers = self.server.today, {"HUAWEIPUSH": {"successCount": self.server.sent}}
            self.answer({"status": "OK", "data": {today: numbers} if asked[1] <= today <= asked[2] else {}})
        else:
            self.send_error(404)

    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass
