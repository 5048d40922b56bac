// What of a dashboard is drawn as Grafana would. Everything else that a file says is told, so that no picture is silently wrong.

import { SCHEMES, knowsColour } from './colours.mjs';
import { CALCS, MATCHERS } from './fields.mjs';
import { knowsUnit } from './format.mjs';

// A list has the values that are drawn, an object what is inside, a function decides; ANY changes nothing that a picture shows.
const ANY = () => true;
const OFF = [false, null, undefined];
const NONE = value => value === null || value === undefined || value === '' || Object.keys(value).length === 0;
const calcs = value => value.every(name => name in CALCS);
const colourName = value => knowsColour(value);
const each = spec => (value, path, say) => value.forEach((one, index) => walk(one, spec, `${path}[${index}]`, say));

const REDUCE = { calcs, values: [true, false], fields: ANY, limit: ANY };
const LEGEND = {
  displayMode: ['list', 'table', 'hidden'], placement: ['bottom', 'right'], showLegend: [true, false], calcs, width: ANY, sortBy: ANY, sortDesc: [true, false],
};
const HIDE = { legend: [true, false], tooltip: ANY, viz: [true, false] };
const VALUE_TEXT = { titleSize: ANY, valueSize: ANY };

const OPTIONS = {
  timeseries: { legend: LEGEND, tooltip: ANY, timezone: NONE },
  'state-timeline': {
    legend: LEGEND, tooltip: ANY, mergeValues: [true, false], showValue: ['auto', 'always', 'never'], alignValue: ['left', 'center', 'right'],
    rowHeight: ANY, perPage: ANY,
  },
  stat: {
    reduceOptions: REDUCE, orientation: ['auto', 'horizontal', 'vertical'], textMode: ['auto', 'value', 'value_and_name', 'name', 'none'],
    colorMode: ['none', 'value', 'background', 'background_solid'], graphMode: ['none', 'area'], justifyMode: ['auto', 'center'], text: VALUE_TEXT,
    wideLayout: [true], showPercentChange: [false], percentChangeColorMode: ANY,
  },
  bargauge: {
    reduceOptions: REDUCE, orientation: ['auto', 'horizontal', 'vertical'], displayMode: ['basic', 'gradient', 'lcd'],
    valueMode: ['color', 'text', 'hidden'], showUnfilled: [true, false], minVizWidth: ANY, minVizHeight: ANY, maxVizHeight: ANY, sizing: ['auto'],
    namePlacement: ['auto', 'left', 'top'], text: VALUE_TEXT,
    legend: { showLegend: [false], displayMode: ANY, placement: ANY, calcs: ANY },
  },
  table: {
    showHeader: [true, false], cellHeight: ['sm', 'md', 'lg'], sortBy: ANY, frameIndex: ANY, enablePagination: OFF, showTypeIcons: OFF,
  },
  row: {},
};
const AXIS = {
  axisPlacement: ['auto', 'left', 'right', 'hidden'], axisLabel: ANY, axisSoftMin: ANY, axisSoftMax: ANY, axisCenteredZero: OFF, axisGridShow: ANY,
  axisColorMode: ['text'], axisBorderShow: OFF, axisWidth: ANY, scaleDistribution: { type: ['linear', 'log'], log: [2, 10], linearThreshold: ANY },
};
const CELL = {
  type: ['auto', 'color-text', 'color-background', 'gauge'], mode: ['basic', 'gradient', 'lcd'], applyToRow: [true, false],
  valueDisplayMode: ['color', 'text', 'hidden'], wrapText: OFF,
};
const CUSTOM = {
  timeseries: {
    ...AXIS, drawStyle: ['line', 'bars', 'points'], lineInterpolation: ['linear', 'smooth', 'stepBefore', 'stepAfter'], lineWidth: ANY,
    fillOpacity: ANY, gradientMode: ['none', 'opacity', 'hue'], showPoints: ['auto', 'never', 'always'], pointSize: ANY, spanNulls: [true, false],
    stacking: { mode: ['none', 'normal', 'percent'], group: ANY },
    thresholdsStyle: { mode: ['off', 'line', 'dashed', 'area', 'line+area', 'dashed+area'] },
    lineStyle: { fill: ['solid', 'dash', 'dot'], dash: ANY }, hideFrom: HIDE, barAlignment: [0], barWidthFactor: ANY, insertNulls: OFF,
    transform: ['negative-Y'], lineColor: NONE, fillColor: NONE,
  },
  'state-timeline': { fillOpacity: ANY, lineWidth: ANY, spanNulls: [false], insertNulls: OFF, hideFrom: HIDE, ...AXIS },
  table: {
    align: ['auto', 'left', 'center', 'right', null], width: ANY, minWidth: ANY, hidden: [true, false], hideFrom: HIDE, filterable: ANY, inspect: ANY,
    cellOptions: CELL, displayMode: ['auto', 'color-text', 'color-background', 'color-background-solid', 'basic', 'gradient-gauge', 'lcd-gauge'],
  },
  stat: {}, bargauge: { neutral: NONE }, text: {}, row: {},
};
const config = type => ({
  unit: value => knowsUnit(value),
  decimals: ANY, min: ANY, max: ANY, noValue: ANY, displayName: ANY, description: ANY, links: ANY, filterable: ANY, unitScale: ANY, fieldMinMax: OFF,
  color: { mode: ['thresholds', 'palette-classic', 'fixed', ...Object.keys(SCHEMES)], fixedColor: colourName, seriesBy: ['last'] },
  thresholds: { mode: ['absolute', 'percentage'], steps: each({ value: ANY, color: colourName, index: ANY, name: ANY, yaxis: ANY }) },
  mappings: each({ type: ['value', 'range', 'regex', 'special'], options: ANY }),
  custom: CUSTOM[type],
});
const PANEL = type => ({
  id: ANY, type: ANY, title: ANY, description: ANY, gridPos: ANY, pluginVersion: ANY, targets: ANY, transformations: ANY, panels: ANY, collapsed: ANY,
  repeat: NONE, repeatDirection: ANY, maxPerRow: ANY, links: ANY, interval: ANY, maxDataPoints: ANY, transparent: [true, false], datasource: ANY,
  options: OPTIONS[type],
  fieldConfig: { defaults: config(type), overrides: ANY },
});
const TARGET = {
  refId: ANY, expr: ANY, legendFormat: ANY, format: ['time_series', 'table'], instant: [true, false], range: [true, false], hide: [true, false],
  editorMode: ANY, exemplar: [false], datasource: ANY, intervalFactor: [1],
  useBackend: ANY, fullMetaSearch: ANY, includeNullMetadata: ANY, disableTextWrap: ANY,
};

function walk(value, spec, path, say) {
  if (spec === ANY || value === undefined) return;
  if (typeof spec === 'function') {
    // A function that looks deeper says by itself what it finds.
    if (spec(value, path, say) === false) say(`${path} ${JSON.stringify(value)} is not known`);
  } else if (Array.isArray(spec)) {
    if (!spec.includes(value)) say(`${path} ${JSON.stringify(value)} is not known`);
  } else if (spec === undefined) {
    say(`${path} is not known`);
  } else {
    for (const [key, inner] of Object.entries(value ?? {})) walk(inner, spec[key], path ? `${path}.${key}` : key, say);
  }
}

const specAt = (type, id) => id.split('.').reduce((spec, step) => spec?.[step], config(type));

export const tellUnknown = (panel, say) => {
  if (!OPTIONS[panel.type]) {
    say(`type ${panel.type} is not known`);
    return;
  }
  walk(panel, PANEL(panel.type), '', say);
  for (const target of panel.targets ?? []) walk(target, TARGET, `target ${target.refId}`, say);
  for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
    if (!MATCHERS[matcher.id]) say(`override matcher ${matcher.id} is not known`);
    for (const { id, value } of properties) walk(value, specAt(panel.type, id), `override ${id}`, say);
  }
  const source = panel.datasource?.type ?? 'prometheus';
  if (source !== 'prometheus' && panel.type !== 'row') say(`datasource ${source} is not known`);
};
