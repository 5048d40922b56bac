"""Which alerts a history raises, against those that it must raise.

fires.py DATA EXPECTED --rules GLOB: EXPECTED is JSON, {"start", "end", "alerts": [{alert, labels, from, to}]}, times in Unix
seconds. Each of them must fire with these labels at some time between from and to, and whatever else fires is an error.
"""

import argparse
import datetime
import json
import pathlib

import rules
import server


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("expected")
    parser.add_argument("--rules", required=True, help="rule files, as a glob")
    arguments = parser.parse_args()
    history = json.loads(pathlib.Path(arguments.expected).read_text())
    with server.Prometheus(arguments.data) as prometheus:
        fired = [
            (began, ended, rule["alert"], labels)
            for rule in rules.load(arguments.rules, "alert")
            for labels, began, ended in rules.firing(prometheus, rule, history["start"], history["end"])
        ]
    problems = []
    seen = []
    for began, ended, alert, labels in sorted(fired, key=lambda one: one[0]):
        matching = [
            one
            for one in history["alerts"]
            if one["alert"] == alert
            and one["labels"].items() <= labels.items()
            and one["from"] <= began
            and ended <= one["to"]
        ]
        seen += matching
        line = f"{clock(began)} to {clock(ended)}  {alert:34}{text(labels)}"
        print(line)
        if not matching:
            problems.append(f"fires, and must not: {line}")
    for one in history["alerts"]:
        if one not in seen:
            problems.append(
                f"does not fire between {clock(one['from'])} and {clock(one['to'])}: {one['alert']} {text(one['labels'])}"
            )
    raise SystemExit("\n".join(problems) or 0)


def clock(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%d %H:%M")


def text(labels):
    shown = {name: value for name, value in labels.items() if name not in ("job", "instance")}
    return " ".join(f"{name}={value}" for name, value in sorted(shown.items()))


if __name__ == "__main__":
    main()
