"""The kinds of panels and the frame of a dashboard. Every panel says what it shows, where the number comes from and when
to worry; one that is normally empty says why. Lines of panels are 24 columns wide."""

from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table as tables, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, FieldColor, Row as row
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    ValueMap,
    ValueMappingResult,
)

from . import links, thresholds
from .queries import DATASOURCE, rows
from .variables import variables

__all__ = ["Column", "bars", "frame", "lines", "matrix", "number", "row", "states", "table"]


def lines(
    title,
    description,
    unit,
    *queries,
    worst="max",
    limits=None,
    top=None,
    floor=0,
    dashed=None,
    stacked=False,
    many=False,
    data_links=(),
    none=None,
    span=12,
    height=8,
):
    """Lines over time. `worst` is the end to look at, max or min; lines whose name matches `dashed` were usual. The axis
    begins at `floor` unless a line goes below. The legend of `many` lines stands beside them, or, where there is no room
    for that, is a list."""
    panel = _panel(timeseries.Panel(), title, description, unit, queries, data_links, none, span, height)
    beside, listed = many and span >= 10, many and span < 10
    narrow = span < (16 if beside else 8)
    panel = (
        panel.axis_soft_min(floor)
        .line_width(1)
        .fill_opacity(30 if stacked else 0)
        .show_points(VisibilityMode.AUTO)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(_tooltip(worst))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST if listed else LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT if beside else LegendPlacement.BOTTOM)
            .calcs([] if listed else ["lastNotNull"] if narrow else ["lastNotNull", worst])
            .sort_by("Last *")
            .sort_desc(worst == "max")
        )
    )
    if top is not None:
        panel = panel.max(top)
        # A ratio is never below 0; a higher floor gives way to lines that fall below it.
        panel = panel if floor else panel.min(0)
    if unit == "none":
        # Whole numbers, so there is room for whole ticks.
        panel = panel.axis_soft_max(5)
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        panel = panel.thresholds(limits.config()).thresholds_style(style)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode("normal").group("A"))
    if dashed:
        style = {"fill": "dash", "dash": [6, 6]}
        panel = panel.override_by_regexp(dashed, [DynamicConfigValue("custom.lineStyle", style)])
    return panel


def number(
    title,
    description,
    unit,
    *queries,
    limits=thresholds.COLOURLESS,
    apart=None,
    words=None,
    named=False,
    listed=False,
    top=None,
    data_links=(),
    none=None,
    span=4,
    height=4,
):
    """Numbers of this moment. `words` are values with a name of their own; `named` shows the names of the series, of
    which some may have limits `apart`; `listed` sets them one below the other."""
    panel = _panel(stat.Panel(), title, description, unit, queries, data_links, none, span, height)
    panel = (
        panel.thresholds(limits.config(thresholds.UNKNOWN))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if named else BigValueTextMode.VALUE)
        .orientation(VizOrientation.HORIZONTAL if listed else VizOrientation.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if named:
        # Else names are as large as there is room for, and cut.
        panel = panel.text(common.VizTextDisplayOptions().title_size(15))
    for name, own in (apart or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("thresholds", own.config(thresholds.UNKNOWN).build())])
    if top is not None:
        panel = panel.min(0).max(top)
    return panel.mappings(_words(words)) if words else panel


def bars(
    title, description, unit, *queries, limits=thresholds.PLAIN, top=None, data_links=(), none=None, span=12, height=8
):
    """A bar for each series of this moment."""
    panel = _panel(bargauge.Panel(), title, description, unit, queries, data_links, none, span, height)
    panel = (
        panel.min(0)
        .thresholds(limits.config())
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .display_mode(BarGaugeDisplayMode.GRADIENT)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return panel if top is None else panel.max(top)


def states(title, description, *queries, words, data_links=(), none=None, span=24, height=8):
    """A band for each series, coloured by its state."""
    panel = _panel(statetimeline.Panel(), title, description, "none", queries, data_links, none, span, height)
    return (
        panel.mappings(_words(words))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds.PLAIN.config())
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .tooltip(_tooltip("max"))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
    )


@dataclass(frozen=True)
class Column:
    """A number in each row of a table. With limits its cells are coloured; `words` are values with a name."""

    title: str
    unit: str
    expr: str
    limits: thresholds.Limits | None = None
    words: dict[str, tuple[str, str]] | None = None
    width: int | None = None


def table(
    title,
    description,
    labels,
    *columns,
    sort=None,
    descending=True,
    order=None,
    least_first=None,
    unseen=(),
    words=None,
    data_links=(),
    none=None,
    span=24,
    height=8,
):
    """A row for each set of labels that a column gives. `data_links` stand in the column of the last label. Rows are
    sorted by the column `sort`, or by what is not shown: the label `order`, or an expression, the `least_first`. `unseen`
    are labels that only links need, `words` colours of labels' values."""
    queries = [rows(expr) for expr in [*(column.expr for column in columns), *([least_first] if least_first else [])]]
    panel = _panel(tables.Panel(), title, description, "short", queries, (), none, span, height)
    panel = _empty_cells(panel.show_header(True))
    names = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in _letters(columns)]
    if len(columns) > 1:
        panel = panel.with_transformation(DataTransformerConfig("merge", options={}))
    if least_first:
        order = f"Value #{_letters(queries)[-1]}"
    if order:
        panel = panel.with_transformation(_sorted(order))
    titles = dict(zip(names, (column.title for column in columns)))
    panel = _wide_enough(panel.with_transformation(_organize(labels, titles, order)), labels)
    for label in unseen:
        panel = panel.override_by_name(_title(label), _UNSEEN)
    for label, colours in (words or {}).items():
        panel = panel.override_by_name(_title(label), [_mapped(colours), _CELL])
    for column in columns:
        properties = [DynamicConfigValue("unit", column.unit)]
        if column.unit == "percentunit":
            properties.append(DynamicConfigValue("decimals", 1))
        if column.width:
            properties.append(DynamicConfigValue("custom.minWidth", column.width))
        if column.words:
            properties.append(_mapped(column.words))
        if column.unit == "none":
            properties.append(_WHOLE)
        if column.limits:
            properties += [
                DynamicConfigValue("thresholds", column.limits.config(thresholds.NOTHING).build()),
                *_COLOURED,
            ]
        panel = panel.override_by_name(column.title, properties)
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    return _linked_rows(panel, labels, data_links)


def matrix(
    title,
    description,
    unit,
    across,
    labels,
    *queries,
    limits=thresholds.COLOURLESS,
    order=None,
    words=None,
    data_links=(),
    none=None,
    span=12,
    height=10,
):
    """A row for each set of labels, a column for each value of `across`. Rows are sorted by the column `order`, which is
    not shown; `words` are values with a name."""
    panel = _panel(tables.Panel(), title, description, unit, queries, (), none, span, height)
    panel = (
        _empty_cells(panel.show_header(True))
        .with_transformation(DataTransformerConfig("labelsToFields", options={"mode": "columns", "valueLabel": across}))
        .with_transformation(DataTransformerConfig("merge", options={}))
    )
    if order:
        panel = panel.with_transformation(_sorted(order))
    panel = (
        _wide_enough(panel.with_transformation(_organize(labels, {}, order)), labels)
        .override_by_field_type("number", _COLOURED)
        .min(0)
        .thresholds(limits.config(thresholds.NOTHING))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    if unit == "percentunit":
        panel = panel.decimals(0)
    if words:
        panel = panel.mappings(_words(words))
    return _linked_rows(panel, labels, data_links)


def frame(uid, title, description, names, *panels):
    """A dashboard with these variables and panels; those in a list stand one below the other."""
    builder = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([links.TAG])
        .editable()
        .version(1)
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-24h", "now")
        .refresh("1m")
        .annotations([])
        .variables(list(variables(names)))
        .link(links.between_dashboards())
        .link(links.runbook())
    )
    for panel in panels:
        for one in panel if isinstance(panel, list) else [panel]:
            builder = builder.with_row(one) if isinstance(one, row) else builder.with_panel(one)
    model = builder.build()
    _place(iter(model.panels), [len(panel) if isinstance(panel, list) else 1 for panel in panels])
    for position, panel in enumerate(model.panels, start=1):
        panel.id_val = position
    return model


def _place(panels, sizes):
    """From left to right, in lines of 24 columns; so many panels at a time one below the other."""
    x = y = bottom = 0
    for size in sizes:
        top = y
        for _ in range(size):
            place = next(panels).grid_pos
            place.x, place.y = x, top
            top += place.h
        bottom = max(bottom, top)
        x += place.w
        if x >= 24:
            x, y = 0, bottom


def _panel(panel, title, description, unit, queries, data_links, none, span, height):
    panel = panel.title(title).description(description).datasource(DATASOURCE).unit(unit).span(span).height(height)
    for letter, query in zip(_letters(queries), queries):
        panel = panel.with_target(query.ref_id(letter))
    if data_links:
        panel = panel.data_links(list(data_links))
    if unit == "none":
        panel = panel.decimals(0)
    return panel.no_value(none) if none else panel


def _letters(queries):
    return ascii_uppercase[: len(queries)]


def _tooltip(worst):
    order = SortOrder.DESCENDING if worst == "max" else SortOrder.ASCENDING
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(order)


def _words(words: dict[str, tuple[str, str]]):
    return [ValueMap({value: ValueMappingResult(text=text, color=color) for value, (text, color) in words.items()})]


# Increases are extrapolated: a few are shown as whole numbers.
_WHOLE = DynamicConfigValue("decimals", 0)
# As Grafana 11 has it, and as later versions do.
_UNSEEN = [
    DynamicConfigValue("custom.hidden", True),
    DynamicConfigValue("custom.hideFrom", {"legend": False, "tooltip": False, "viz": True}),
]
_CELL = DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
_COLOURED = [_CELL, DynamicConfigValue("custom.align", "right")]

# Labels with long values need more than the rest.
_LEAST = 76
_WIDTHS = {
    "alertname": 254,
    "app": 100,
    "department": 110,
    "instance": 150,
    "msg_id": 170,
    "report": 182,
    "severity": 72,
}


def _wide_enough(panel, labels):
    for label in labels:
        if label in _WIDTHS:
            panel = panel.override_by_name(_title(label), [DynamicConfigValue("custom.minWidth", _WIDTHS[label])])
    return panel


def _mapped(words):
    return DynamicConfigValue("mappings", _words(words))


def _sorted(by):
    return DataTransformerConfig("sortBy", options={"fields": {}, "sort": [{"field": by, "desc": False}]})


def _empty_cells(panel):
    # Else each empty cell says why the table might be empty, and no column is narrower than 150 pixels.
    properties = [DynamicConfigValue("noValue", "–"), DynamicConfigValue("custom.minWidth", _LEAST)]
    return panel.override_by_regexp(".*", properties)


def _organize(labels, titles, unshown=None):
    places = {name: index for index, name in enumerate([*labels, *titles])}
    names = {label: _title(label) for label in labels} | titles
    excluded = {"Time": True} | ({unshown: True} if unshown else {})
    return DataTransformerConfig(
        "organize", options={"excludeByName": excluded, "indexByName": places, "renameByName": names}
    )


def _linked_rows(panel, labels, data_links):
    if not data_links:
        return panel
    properties = [DynamicConfigValue("links", [link.build() for link in data_links])]
    return panel.override_by_name(_title(labels[-1]), properties)


def _title(label):
    return label.replace("_", " ").capitalize()
