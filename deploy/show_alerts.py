#!/usr/bin/env python3
"""Prints what Alertmanager tells, a line for each alert: a receiver to look at in Compose, until there is a real one.

    show_alerts.py [PORT]"""

import http.server
import json
import sys

# Alertmanager's notifications are a few kilobytes.
MOST_BYTES = 1 << 20


def lines(receiver, notification):
    for alert in notification["alerts"]:
        labels = alert["labels"]
        severity = labels.get("severity", "")
        text = alert["annotations"].get("summary") or labels.get("alertname", "")
        yield f"{alert['status']} {severity} -> {receiver}: {labels.get('alertname', '')}: {text}"


class Receiver(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        try:
            length = int(self.headers.get("Content-Length", ""))
            if not 0 <= length <= MOST_BYTES:
                return self.answer(413)
            said = list(lines(self.path.strip("/"), json.loads(self.rfile.read(length))))
        except (KeyError, TypeError, ValueError, AttributeError):
            return self.answer(400)
        print("\n".join(said), flush=True)
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    http.server.ThreadingHTTPServer(("", port), Receiver).serve_forever()
