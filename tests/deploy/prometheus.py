"""prometheus/prometheus.yml as compose.yml mounts it, and the rules with the links of their alerts."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from common import read, told
from compose import binds, is_service
from repository import Repository
from runbook import anchors


@contextlib.contextmanager
def as_mounted(repository: Repository, name: str) -> Iterator[Path]:
    """A folder with everything that a service has mounted, where it has it."""
    with tempfile.TemporaryDirectory() as folder:
        for source, target, _ in binds(repository.services[name]):
            path, place = repository.beside(source), Path(folder) / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
        yield Path(folder)


def flag(service: dict, name: str) -> str:
    return next((part.split("=", 1)[1] for part in service["command"] if part.startswith(name + "=")), "")


def config(repository: Repository) -> Iterator[str]:
    services = repository.services
    with as_mounted(repository, "prometheus") as folder:
        place = folder / flag(services["prometheus"], "--config.file").lstrip("/")
        if not place.exists():
            yield f"--config.file of compose.yml is nothing that is mounted: {place.relative_to(folder)}"
            return None
        good, text = told("promtool", "check", "config", place)
        if not good:
            yield f"promtool check config: {text}"
        config, matched = read(place), []
        for pattern in config.get("rule_files", []):
            found = list(folder.glob(pattern[1:]) if pattern.startswith("/") else place.parent.glob(pattern))
            if not found:
                yield f"rule_files: {pattern} matches nothing"
            matched += [path.name for path in found]
    for path in repository.rule_files:
        if path.name not in matched:
            yield f"rule_files: {path.name} is not among them"
    external = config["global"].get("external_labels", {})
    alerting = config.get("alerting")
    if alerting:
        yield from external_labels(repository, external, alerting)
    for job in config["scrape_configs"]:
        if job.get("honor_labels") is not True:
            yield f"{job['job_name']}: honor_labels is not true"
    jobs = [*config["scrape_configs"], *(alerting or {}).get("alertmanagers", [])]
    addresses = [target for job in jobs for static in job["static_configs"] for target in static["targets"]]
    for address in addresses:
        if wrong := is_service(services, *address.rsplit(":", 1)):
            yield f"{address}: {wrong}"
    # The recorded history that rules look back on, with a day to spare.
    spans = (span for rule in repository.rules() for span in re.findall(r"(?:offset |\[)(\d+)([wd])", rule["expr"]))
    back = max(int(number) * (7 if unit == "w" else 1) for number, unit in spans)
    retention = re.fullmatch(r"(\d+)d", flag(services["prometheus"], "--storage.tsdb.retention.time"))
    if not retention or int(retention[1]) < back + 2:
        yield f"--storage.tsdb.retention.time: rules look back {back} days"
    return f"promtool takes it as mounted, {len(matched)} rule files, {len(addresses)} addresses, {len(external)} external labels"


def external_labels(repository: Repository, external: dict[str, str], alerting: dict) -> Iterator[str]:
    """Those that links in alerts begin with."""
    used = set(re.findall(r"externalLabels\.(\w+)", "".join(path.read_text("utf-8") for path in repository.rule_files)))
    for label in sorted(used - external.keys()):
        yield f"external_labels: the rules use {label}"
    for label in sorted(used & external.keys()):
        if not re.fullmatch(r"https?://\S+[^/\s]", external[label]):
            yield f"external_labels: {label} is no URL without a slash at its end: {external[label]}"
        dropped = alerting.get("alert_relabel_configs", [])
        if not any(drop["action"] == "labeldrop" and re.fullmatch(drop["regex"], label) for drop in dropped):
            yield f"alert_relabel_configs: {label} is not dropped"


def rules(repository: Repository) -> Iterator[str]:
    good, text = told("promtool", "check", "rules", *repository.rule_files)
    if not good:
        yield f"promtool check rules: {text}"
    headings = anchors(repository.runbook_file.read_text("utf-8"))
    boards, links = repository.dashboards(), 0
    for rule in repository.rules():
        if "alert" not in rule:
            continue
        name, said = rule["alert"], rule["annotations"]
        if said["runbook_url"] != "{{ $externalLabels.runbooks }}/RUNBOOK.md#" + name.lower() or name.lower() not in headings:
            yield f"{name}: runbook_url leads nowhere: {said['runbook_url']}"
        link = urlsplit(re.sub(r"{{.*?}}", "X", said["dashboard_url"]))
        uid = link.path.rsplit("/", 1)[-1]
        if not said["dashboard_url"].startswith("{{ $externalLabels.grafana }}/d/") or uid not in boards:
            yield f"{name}: dashboard_url leads to no dashboard: {said['dashboard_url']}"
            continue
        variables = {variable["name"] for variable in boards[uid]["templating"]["list"]}
        for unknown in {key.removeprefix("var-") for key in parse_qs(link.query)} - variables:
            yield f"{name}: the dashboard {uid} has no variable {unknown}"
        links += 2
    return f"promtool takes {len(repository.rule_files)} files; {links} links of alerts to dashboards and to the runbook"
