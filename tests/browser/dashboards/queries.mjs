// Asks Prometheus what a panel's targets ask and makes frames of the answers, with the names that Grafana gives them.

import { labelsText } from './fields.mjs';
import { fill } from './variables.mjs';

export class Prometheus {
  constructor(url, { from, to }) {
    Object.assign(this, { url, from, to });
  }

  async get(path, parameters) {
    const url = new URL(`${this.url.replace(/\/$/, '')}/api/v1/${path}`);
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value);
    const answer = await fetch(url).then(response => response.json(), ({ cause }) => {
      throw new Error(`${this.url} does not answer: ${cause?.message}`);
    });
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data;
  }

  labelValues(label, selector) {
    return this.get(`label/${label}/values`, { 'match[]': selector, start: this.from, end: this.to });
  }

  async series(expression, instant, step) {
    if (instant) {
      const { resultType, result } = await this.get('query', { query: expression, time: this.to });
      return resultType === 'scalar' ? [{ metric: {}, values: [result] }] : result.map(({ metric, value }) => ({ metric, values: [value] }));
    }
    // Aligned, so that the same range always asks for the same points.
    const [start, end] = [this.from, this.to].map(at => Math.floor(at / step) * step);
    const { result } = await this.get('query_range', { query: expression, start, end, step });
    return result.map(({ metric, values }) => {
      const found = new Map(values);
      const count = Math.round((end - start) / step) + 1;
      // Points that are not there are null, for a gap in the line.
      return { metric, values: Array.from({ length: count }, (_, index) => [start + index * step, found.get(start + index * step) ?? null]) };
    });
  }
}

const NUMBERS = { '+Inf': Infinity, '-Inf': -Infinity, NaN };
const number = text => (text === null ? null : NUMBERS[text] ?? Number(text));
const time = values => ({ name: 'Time', type: 'time', values: values.map(([at]) => at * 1000), config: {} });

const metricName = ({ __name__: name = '', ...labels }) => (Object.keys(labels).length ? name + labelsText(labels) : name);
const legend = ({ legendFormat, expr }, metric) => {
  // Without a format Grafana names a series by what tells it from the others.
  if (!legendFormat || legendFormat === '__auto') return Object.keys(metric).length ? undefined : expr;
  return legendFormat.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '') || metricName(metric);
};
const seriesFrames = (target, series) => series.map(({ metric, values }) => {
  const displayNameFromDS = legend(target, metric);
  const config = displayNameFromDS ? { displayNameFromDS } : {};
  const value = { name: 'Value', type: 'number', labels: metric, values: values.map(([, text]) => number(text)), config };
  return { refId: target.refId, fields: [time(values), value] };
});

// From when to when each annotation holds: a region for each row of samples without a gap.
export const regions = async (dashboard, { scope, from, to, prometheus, say }) => {
  const step = Math.max(60, Math.ceil((to - from) / 1000));
  const asked = (dashboard.annotations?.list ?? []).filter(({ builtIn, enable }) => !builtIn && enable);
  const found = await Promise.all(asked.map(async ({ name, iconColor, target }) => {
    if (!target?.expr) say(`annotations ${name} are not known`);
    const series = await prometheus.series(fill(target?.expr ?? '', scope, 'query', say), false, step);
    return series.flatMap(({ values }) => {
      const rows = [];
      values.forEach(([at, value], index) => {
        if (value === null) return;
        if (index > 0 && values[index - 1][1] !== null) rows.at(-1).to = at;
        else rows.push({ colour: iconColor, from: at, to: at });
      });
      return rows;
    });
  }));
  return found.flat();
};

// One frame a target: time, a column a label, the value.
const tableFrame = (target, series, several) => {
  const rows = series.flatMap(({ metric, values }) => values.filter(([, value]) => value !== null).map(point => ({ metric, point })));
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric).sort()))];
  return {
    refId: target.refId,
    fields: [
      time(rows.map(({ point }) => point)),
      ...labels.map(name => ({ name, type: 'string', values: rows.map(({ metric }) => metric[name] ?? ''), config: {} })),
      { name: several ? `Value #${target.refId}` : 'Value', type: 'number', values: rows.map(({ point }) => number(point[1])), config: {} },
    ],
  };
};

export const panelFrames = async (panel, scope, step, prometheus, warn) => {
  const targets = (panel.targets ?? []).filter(target => !target.hide);
  const tables = targets.filter(target => target.format === 'table').length;
  const answers = await Promise.all(targets.map(async target => {
    if (target.instant && target.range) warn(`target ${target.refId}: both instant and range are asked, only instant is drawn`);
    const expression = fill(target.expr ?? '', scope, 'query', warn);
    try {
      const series = await prometheus.series(expression, target.instant === true, step);
      return target.format === 'table' ? [tableFrame(target, series, tables > 1)] : seriesFrames(target, series);
    } catch (error) {
      throw new Error(`target ${target.refId}: ${error.message}: ${expression}`);
    }
  }));
  return answers.flat();
};
