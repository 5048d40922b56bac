"""The variables at the top of each dashboard, each narrowing the next: job, instance, provider, app, platform, channel."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from .queries import APP, DATASOURCE

ALL = models.VariableOption(selected=True, text=["All"], value=["$__all"])

# Apps are known by their reports; platforms and channels only by what was counted. A channel may only have received.
_COUNTED = f'{{__name__=~"push_messages_(sent|received)_total", {APP}'
_QUERIES = {
    "job": "push_exporter_build_info",
    # Where replicas share apps, their series have an instance of their own.
    "instance": '{__name__=~"push_exporter_build_info|push_up", job=~"$job"}',
    "provider": 'push_up{job=~"$job", instance=~"$instance"}',
    "app": 'push_up{job=~"$job", instance=~"$instance", provider=~"$provider"}',
    "platform": _COUNTED + "}",
    "channel": _COUNTED + ', platform=~"$platform"}',
    "category": _COUNTED + ', platform=~"$platform", channel=~"$channel", category!=""}',
}

OF_APPS = ["job", "instance", "provider", "app"]
OF_CHANNELS = [*OF_APPS, "platform", "channel"]
OF_CATEGORIES = [*OF_CHANNELS, "category"]


def variables(names: list[str]):
    """Recorded series have no instance, so the dashboards about channels, which are made of them, do not offer it."""
    yield builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    for name in names:
        hidden = name == "instance" and "channel" in names
        yield (
            builders.QueryVariable(name)
            .hide(models.VariableHide.HIDE_VARIABLE if hidden else models.VariableHide.DONT_HIDE)
            .label(name.capitalize())
            .datasource(DATASOURCE)
            .query(f"label_values({_QUERIES[name]}, {name})")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(ALL)
        )
