"""Turns a history (OpenMetrics with timestamps) into a Prometheus data folder, with what rules would have made of it.

backfill.py HISTORY DATA --rules GLOB: raw samples first, then recording rules, those that build on others after them, then
the series ALERTS and ALERTS_FOR_STATE.
"""

import argparse
import itertools
import pathlib
import subprocess
import tempfile

import rules
import server


def recorded(prometheus, level, start, end):
    """What recording rules give, line by line."""
    for rule in level:
        for labels, samples in rules.values(prometheus, rule["expr"], start, end):
            for at, value in samples.items():
                yield line(rule["record"], labels, value, at)


def alerts(prometheus, alerting, start, end):
    """What Prometheus records of alerts that fire, line by line: that they do, and since when they are active."""
    for rule in alerting:
        for labels, began, ended in rules.firing(prometheus, rule, start, end):
            labels = {"alertname": rule["alert"], **labels}
            active = began - rules.seconds(rule.get("for", "0s"))
            for at in range(began, ended + 1, rules.STEP):
                yield line("ALERTS", {"alertstate": "firing", **labels}, 1, at)
                yield line("ALERTS_FOR_STATE", labels, active, at)


def line(name, labels, value, at):
    labels = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{name}{{{labels}}} {value} {at}\n"


def blocks(history, data):
    """Makes blocks of a history. Long ones: promtool reads all of it for each."""
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h", history, data]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def span(history):
    """The first and the last time in a history."""
    with open(history, "rb") as file:
        first = file.readline().split()[-1]
        file.seek(-4096, 2)
        last = file.read().decode().splitlines()[-2].split()[-1]
    return int(first), int(last)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("history")
    parser.add_argument("data")
    parser.add_argument("--rules", required=True, help="rule files, as a glob")
    arguments = parser.parse_args()

    pathlib.Path(arguments.data).mkdir(parents=True, exist_ok=True)
    blocks(arguments.history, arguments.data)
    start, end = span(arguments.history)

    def add(make, what):
        with tempfile.NamedTemporaryFile("w") as file:
            with server.Prometheus(arguments.data) as prometheus:
                file.writelines(itertools.chain(make(prometheus, what, start, end), ["# EOF\n"]))
            file.flush()
            blocks(file.name, arguments.data)

    # Not promtool's own backfill of rules, which makes a block of two hours for each rule: thousands of them.
    for level in rules.levels(rules.load(arguments.rules, "record")):
        add(recorded, level)
    add(alerts, rules.load(arguments.rules, "alert"))


if __name__ == "__main__":
    main()
