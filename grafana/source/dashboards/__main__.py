"""Writes every dashboard as JSON into ../dashboards, or with --check tells what writing them would change."""

import argparse
import difflib
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import app, channel, exporter, overview
from .queries import annotation

TARGET = Path(__file__).resolve().parents[2] / "dashboards"


def render(dashboard) -> str:
    # No id: each Grafana gives its own. Sorted keys: a diff of two releases shows what has changed and nothing else.
    model = {"id": None, **dashboard.to_json()}
    names = [variable.name for variable in dashboard.templating.list_val if variable.name != "datasource"]
    model["annotations"] = {"list": [annotation(names)]}
    model = json.loads(json.dumps(model, cls=JSONEncoder))
    for variable in model["templating"]["list"]:
        if variable.get("hide"):
            # What is not to be seen must not come by a link either.
            variable["skipUrlSync"] = True
    _leave_out_what_no_grafana_reads(model)
    return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _leave_out_what_no_grafana_reads(model: dict) -> None:
    """The SDK writes settings of intervals into every variable, and what dashboards and tables had in older versions."""
    model.pop("style")
    for variable in model["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min", "id"):
            variable.pop(name, None)
    for panel in model["panels"]:
        if panel["type"] == "table":
            del panel["options"]["footer"]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 if something would change")
    check = arguments.parse_args().check

    wanted = {f"{module.UID}.json": render(module.dashboard()) for module in (overview, channel, app, exporter)}
    found = {path.name: path.read_text("utf-8") for path in TARGET.glob("*.json")}
    if check:
        for name in sorted(wanted.keys() | found.keys()):
            before, after = found.get(name, "").splitlines(), wanted.get(name, "").splitlines()
            for line in difflib.unified_diff(before, after, f"written {name}", f"source {name}", n=1, lineterm=""):
                print(line)
        return int(wanted != found)
    TARGET.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text, "utf-8")
    return 0


sys.exit(main())
