"""PromQL that the dashboards share: matchers of the variables, ratios of a selection, alerts; how a query is shown."""

import json
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

# What an exporter shows of itself, of an app, of a channel.
EXPORTER = 'job=~"$job", instance=~"$instance"'
APP = f'{EXPORTER}, provider=~"$provider", app=~"$app"'
CHANNEL = f'{APP}, platform=~"$platform", channel=~"$channel"'

# Recorded series have no instance: history outlives an exporter that moves.
RECORDED_APP = 'job=~"$job", provider=~"$provider", app=~"$app"'
RECORDED_CHANNEL = f'{RECORDED_APP}, platform=~"$platform", channel=~"$channel"'

# Only messages that were registered with a category have one.
CATEGORY = f'{CHANNEL}, category=~"$category"'
RECORDED_CATEGORY = f'{RECORDED_APP}, category=~"$category"'

# Empty too: an alert may concern no app or no channel, and that no exporter is there has not even a job.
ALERTS = 'product="push-exporter", job=~"$job|", provider=~"$provider|", app=~"$app|", platform=~"$platform|", channel=~"$channel|"'

# Numerator and denominator of each ratio, recorded over series that have both.
SUCCESS = ("push_messages_accepted_with_attempted", "push_messages_attempted_with_accepted")
DELIVERY = ("push_messages_received_with_sent", "push_messages_sent_with_received")
DISPLAY = ("push_messages_displayed_with_received", "push_messages_received_with_displayed")
CLICKS = ("push_messages_clicked_with_received", "push_messages_received_with_clicked")
SPEED = ("push_messages_received_at_10m", "push_messages_sent_at_10m")


@dataclass(frozen=True)
class Usual:
    """A recorded ratio of channels, its recorded median of the past week, and what it is a ratio of. Alerts on it ask for
    more than `enough`, so that a handful of pushes says nothing."""

    ratio: str
    median: str
    of: str
    enough: int


SUCCESS_USUAL = Usual(
    "channel:push_messages_accepted_per_attempted:ratio_increase1h",
    "channel:push_messages_accepted_per_attempted:ratio_increase1h_median1w",
    "channel:push_messages_attempted_with_accepted:increase1h",
    100,
)
DELIVERY_USUAL = Usual(
    "channel:push_messages_received_per_sent:ratio_recent",
    "channel:push_messages_received_per_sent:ratio_increase6h_median1w",
    "channel:push_messages_sent_with_received:increase6h",
    500,
)
SPEED_USUAL = Usual(
    "channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h",
    "channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h_median1w",
    "channel:push_messages_sent_at_10m:increase1h",
    100,
)

# In the place of a share of the usual that nobody can tell, where rows are only sorted by it: last.
UNTOLD = 9

# Pattern of the reports of deliveries, as the rules have it.
DELIVERY_REPORTS = "|".join(json.loads((Path(__file__).parents[3] / "mixin/reports.json").read_text("utf-8"))["deliveries"])

# How long ago each report last brought a new number.
DATA_AGE = f"max by (provider, app, report) (report:push_data_age:seconds{{{RECORDED_APP}}})"


def total(of: str, by: str = "") -> str:
    return f"sum by ({by}) ({of})" if by else f"sum({of})"


def ratio(of: tuple[str, str], window: str, matchers: str, by: str = "", at_least: int = 0) -> str:
    """The ratio of what is selected: sums divided, never an average of ratios. Too few to tell anything: nothing."""
    top, bottom = (total(f"channel:{name}:increase{window}{{{matchers}}}", by) for name in of)
    return f"{top}\n  / ({bottom} > {at_least})"


def of_enough(of: Usual, matchers: str) -> str:
    """The ratio of each channel of each app that has enough pushes to tell."""
    return f"{of.ratio}{{{matchers}}} and {of.of}{{{matchers}}} > {of.enough}"


def of_usual(of: Usual, matchers: str) -> str:
    """The ratio as a share of its median of the past week, of each channel of each app that has both and enough pushes."""
    return f"{of.ratio}{{{matchers}}} / {of.median}{{{matchers}}}\n  and {of.of}{{{matchers}}} > {of.enough}"


def worst_of_usual(of: Usual, matchers: str, by: str) -> str:
    """The least of them. Nothing with too few pushes, or before half a day of history is there."""
    return f"min by ({by}) (\n  {of_usual(of, matchers)}\n)"


def worst_of_all(matchers: str, by: str) -> str:
    """The least share of the usual of success, delivery and speed: by what channels are sorted. UNTOLD: none is told."""
    shares = "\n  or ".join(
        f'label_replace({of_usual(of, matchers)}, "of", "{place}", "", "")'
        for place, of in enumerate((SUCCESS_USUAL, DELIVERY_USUAL, SPEED_USUAL))
    )
    counted = ("push_messages_sent", "push_messages_clicked_with_received")
    rest = (f"or {UNTOLD} * max by ({by}) (channel:{name}:increase1d{{{matchers}}} > bool -1)" for name in counted)
    return "\n".join([f"min by ({by}) (\n  {shares}\n)", *rest])


def of_exporters(expr: str) -> str:
    """Of exporters alone: every target has up, process_… and scrape_…. One that is down was there within a week, as
    PushExporterDown has it."""
    return f"({expr} and on (job, instance) last_over_time(push_exporter_build_info{{{EXPORTER}}}[1w]))"


def annotation(names: list[str]) -> dict:
    """Critical alerts that fire, as regions over time, of what these variables select: with warnings there are so many regions
    that no line is seen."""
    of = ", ".join(f'{name}=~"${name}|"' for name in names if name not in ("instance", "category"))
    firing = f'ALERTS{{product="push-exporter", alertstate="firing", severity="critical", {of}}}'
    return {
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "iconColor": "red",
        "name": "Alerts",
        "target": {"expr": firing, "interval": "60s", "refId": "Alerts"},
        "tagKeys": "provider,app,channel",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{provider}} {{app}} {{channel}}",
    }


def alerts(severity: str) -> str:
    """Number of alerts that fire: 0 only if the rules are evaluated, else nothing."""
    return (
        f'count(ALERTS{{{ALERTS}, alertstate="firing", severity="{severity}"}})\n'
        '  or 0 * count(report:push_data_age:seconds{job=~"$job"})'
    )


def series(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Over the time range."""
    return _query(expr, legend).range()


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    """At the end of the time range, each series by itself."""
    return _query(expr, legend).instant()


def rows(expr: str) -> prometheus.Dataquery:
    """At the end of the time range, a row for each series and a column for each label."""
    return _query(expr, "").instant().format(PromQueryFormat.TABLE)


def _query(expr: str, legend: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().datasource(DATASOURCE).editor_mode(QueryEditorMode.CODE).expr(expr)
    return query.legend_format(legend) if legend else query
