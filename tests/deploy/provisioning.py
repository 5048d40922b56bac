"""Grafana's provisioning: data sources and dashboards are where compose.yml has them."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from common import read
from compose import binds, is_service
from repository import Repository


def provisioning(repository: Repository) -> Iterator[str]:
    folder, services = repository.root / "grafana/provisioning", repository.services
    sources, providers = sorted((folder / "datasources").glob("*.y*ml")), sorted((folder / "dashboards").glob("*.y*ml"))
    if not sources or not providers:
        yield f"{folder}: no file of data sources, or none of dashboards"
        return None
    defaults, mounted = 0, {target: source for source, target, _ in binds(services["grafana"])}
    for path in [*sources, *providers]:
        listed = "datasources" if path in sources else "providers"
        config = read(path)
        if config.get("apiVersion") != 1:
            yield f"{path.name}: apiVersion is not 1"
        if not config.get(listed):
            yield f"{path.name}: has no {listed}"
        for item in config.get(listed) or []:
            required = {"name", "type", "access", "url"} if path in sources else {"name", "type", "options"}
            for key in sorted(required - item.keys()):
                yield f"{path.name}: {item.get('name')} has no {key}"
            if required - item.keys():
                continue
            if path in sources:
                defaults += bool(item.get("isDefault"))
                url = urlsplit(item["url"])
                if wrong := is_service(services, url.hostname, url.port):
                    yield f"{path.name}: {item['url']}: {wrong}"
            elif item["type"] != "file" or item["options"].get("path") not in mounted:
                yield f"{path.name}: {item['options'].get('path')} is not mounted by compose.yml"
            elif not list(repository.beside(mounted[item["options"]["path"]]).glob("*.json")):
                yield f"{path.name}: {mounted[item['options']['path']]} holds no dashboards"
    if defaults != 1:
        yield f"{defaults} data sources are the default, not one"
    if "/etc/grafana/provisioning" not in mounted:
        yield "compose.yml does not mount /etc/grafana/provisioning"
    home = services["grafana"]["environment"].get("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", "")
    source = mounted.get(os.path.dirname(home))
    if home and not (source and (repository.beside(source) / os.path.basename(home)).exists()):
        yield f"the home dashboard {home} is not there"
    return f"{len(sources)} files of data sources, {len(providers)} of dashboards, {len(repository.dashboards())} dashboards"
