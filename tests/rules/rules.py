"""Rule files, and what their rules give over a history."""

import glob
import pathlib
import re

import yaml

# From sample to sample of a history, in seconds: below the five minutes after which Prometheus forgets.
STEP = 240
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def load(pattern, kind):
    """The rules of a kind ("record" or "alert") of files, given as a glob."""
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise SystemExit(f"no rules in {pattern}")
    groups = [group for path in paths for group in yaml.safe_load(pathlib.Path(path).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def levels(rules):
    """Recording rules in groups, each of which builds on those before it only."""
    names = {rule["record"] for rule in rules}
    uses = {rule["record"]: set(re.findall(r"[a-z_]+:[a-z0-9_:]+", rule["expr"])) & names for rule in rules}
    done = set()
    while len(done) < len(names):
        ready = [rule for rule in rules if rule["record"] not in done and uses[rule["record"]] <= done]
        if not ready:
            raise SystemExit(f"recording rules build on each other in a circle: {', '.join(sorted(names - done))}")
        yield ready
        done |= {rule["record"] for rule in ready}


def values(prometheus, expression, start, end):
    """The series of an expression: labels, and values by time. A rule may give one with a name at one time and without it at
    another; the name goes, and it is the same series."""
    found = {}
    for series in prometheus.get("query_range", query=expression, start=start, end=end, step=STEP)["result"]:
        labels = tuple((name, value) for name, value in series["metric"].items() if name != "__name__")
        found.setdefault(labels, {}).update((int(at), value) for at, value in series["values"])
    for labels, samples in found.items():
        yield dict(labels), dict(sorted(samples.items()))


def firing(prometheus, rule, start, end):
    """From when till when an alert fires, with its labels: once its expression has held for as long as it asks, until it has
    not held for as long as it is kept."""
    wait, kept = seconds(rule.get("for", "0s")), seconds(rule.get("keep_firing_for", "0s"))
    for labels, samples in values(prometheus, rule["expr"], start, end):
        labels.update(rule["labels"])
        times = list(samples)
        began = times[0]
        for at, following in zip(times, [*times[1:], None]):
            fires = at - began >= wait
            if following is None or following > at + STEP + (kept if fires else 0):
                if fires:
                    yield labels, began + wait, min(at + kept, end)
                began = following


def seconds(duration):
    """A duration as Prometheus writes it."""
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", duration))
