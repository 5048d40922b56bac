#!/usr/bin/env python3
"""Writes prometheus/rules from the mixin with its default settings, and the rules of the Helm chart with a placeholder for each
threshold; or with --check tells what writing them would change.

    target/python/bin/python mixin/generate.py [--check] [--settings FILE] [--output FOLDER]

With --settings, a file of jsonnet such as `{ _config+:: { selector: 'env="production"' } }`, and --output it writes rules and
dashboards of your own. Needs gojsonnet and PyYAML (tests/requirements.txt)."""

import argparse
import difflib
import json
import sys
from pathlib import Path

import _gojsonnet
import yaml

MIXIN = Path(__file__).resolve().parent
RULES = MIXIN.parent / "prometheus" / "rules"
CHART = MIXIN.parent / "deploy" / "helm" / "push-exporter" / "files" / "rules"
# Thresholds are so many numbers from here on while the rules of the chart are made: no other number looks like them.
MARK = 730_001

# The file of each group, and what the file is about.
FILES = {
    "recording.yml": ("Recorded series that alerts and dashboards read. docs/alerts.md explains their names.", []),
    "deliveries.yml": ("Alerts about the pushes themselves. They need recording.yml.", ["push-deliveries"]),
    "polling.yml": ("Alerts about reports, tokens and quotas. They need recording.yml.", ["push-polling"]),
    "exporter.yml": ("Alerts about the exporter itself.", ["push-exporter"]),
}


# The order of keys for a reader; jsonnet sorts them.
ORDER = (
    "name interval rules alert record expr for keep_firing_for labels annotations product severity "
    "summary description dashboard_url runbook_url"
).split()


class Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, text)


def ordered(value):
    """The value with its keys in the order of ORDER."""
    if isinstance(value, list):
        return [ordered(item) for item in value]
    if isinstance(value, dict):
        place = {name: index for index, name in enumerate(ORDER)}
        return {name: ordered(value[name]) for name in sorted(value, key=lambda name: (place.get(name, len(ORDER)), name))}
    return value


def evaluate(settings):
    """The rules by file, and the dashboards by name. `settings` is jsonnet that is added to the mixin."""
    mixin = f"(import '{MIXIN}/mixin.libsonnet')" + (f" + ({settings})" if settings else "")
    made = json.loads(
        _gojsonnet.evaluate_snippet(
            "mixin",
            f"local mixin = {mixin}; {{ groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups, "
            "dashboards: mixin.grafanaDashboards }",
        )
    )
    named = {name for _, names in FILES.values() for name in names}
    rules = {}
    for file, (about, names) in FILES.items():
        groups = [group for group in made["groups"] if group["rules"] and group["name"] in (names or {group["name"]} - named)]
        body = yaml.dump({"groups": ordered(groups)}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=4096)
        rules[file] = f"# {about}\n# Generated from mixin/ by mixin/generate.py; do not edit.\n{body}"
    return rules, made["dashboards"]


def of_chart():
    """The rules by file, with <<NAME>> in the place of each threshold."""
    config = f"(import '{MIXIN}/config.libsonnet')._config"
    numbers = json.loads(
        _gojsonnet.evaluate_snippet("names", f"local c = {config}; [k for k in std.objectFields(c) if std.isNumber(c[k])]")
    )
    marks = {name: MARK + index for index, name in enumerate(numbers)}
    rules, _ = evaluate(f"{{ _config+:: {json.dumps(marks)} }}")
    for name, mark in marks.items():
        if not any(str(mark) in content for content in rules.values()):
            raise SystemExit(f"no rule has the threshold {name}")
        rules = {file: content.replace(str(mark), f"<<{name}>>") for file, content in rules.items()}
    return rules


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 if something would change")
    arguments.add_argument("--settings", type=Path, help="jsonnet that is added to the mixin")
    arguments.add_argument("--output", type=Path, help="write rules and dashboards into this folder instead")
    options = arguments.parse_args()
    if options.settings and not options.output:
        arguments.error("--settings needs --output: the files of the repository have the default settings")
    rules, dashboards = evaluate(f"import '{options.settings.resolve()}'" if options.settings else None)
    if options.output:
        for name, model in dashboards.items():
            write(options.output / "dashboards" / name, json.dumps(model, indent=2, ensure_ascii=False) + "\n")
    folder = options.output / "rules" if options.output else RULES
    files = {folder / name: content for name, content in rules.items()}
    if not options.output:
        files |= {CHART / name: content for name, content in of_chart().items()}
    different = False
    for path, wanted in files.items():
        found = path.read_text("utf-8") if path.exists() else ""
        different |= found != wanted
        if not options.check:
            write(path, wanted)
            continue
        for line in difflib.unified_diff(found.splitlines(), wanted.splitlines(), str(path), "mixin", n=1, lineterm=""):
            print(line)
    return int(options.check and different)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
