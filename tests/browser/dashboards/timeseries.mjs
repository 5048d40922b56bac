// Time series by uPlot, which Grafana draws them with: lines, bars, points, stacks, thresholds, axes by unit.

import { colour, faded } from './colours.mjs';
import { calculate, show, thresholdSteps } from './fields.mjs';
import { tick } from './format.mjs';
import { FONT, element, style, textWidth } from './html.mjs';
import { legend, tellCut } from './legend.mjs';

const { uPlot } = globalThis;
const PATHS = {
  linear: uPlot.paths.linear(),
  smooth: uPlot.paths.spline(),
  stepBefore: uPlot.paths.stepped({ align: -1 }),
  stepAfter: uPlot.paths.stepped({ align: 1 }),
};
const custom = field => ({
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', showPoints: 'auto', pointSize: 5,
  spanNulls: false, axisPlacement: 'auto', barWidthFactor: 0.6, ...field.config.custom,
});

// All series on one row of times.
const aligned = frames => {
  const series = frames.flatMap(frame => {
    const time = frame.fields.find(field => field.type === 'time');
    return time ? frame.fields.filter(field => field.type === 'number').map(field => ({ field, at: time.values })) : [];
  });
  const times = [...new Set(series.flatMap(({ at }) => at))].sort((a, b) => a - b);
  return {
    times: times.map(at => at / 1000),
    series: series.map(({ field, at }) => {
      const byTime = new Map(at.map((one, index) => [one, field.values[index]]));
      const values = times.map(one => byTime.get(one) ?? null);
      return { field, values: custom(field).transform === 'negative-Y' ? values.map(value => value && -value) : values };
    }),
  };
};

// What is drawn of stacks: each series on those before it, and the bands between them.
const stacked = series => {
  const bands = [];
  const tops = new Map();
  const totals = new Map();
  const key = ({ field }) => {
    const { stacking, transform } = custom(field);
    return stacking && stacking.mode !== 'none' ? `${stacking.mode} ${stacking.group ?? ''} ${transform ?? ''} ${field.scale}` : undefined;
  };
  for (const one of series) {
    if (key(one)) totals.set(key(one), one.values.map((value, index) => (value ?? 0) + (totals.get(key(one))?.[index] ?? 0)));
  }
  const data = series.map((one, index) => {
    const stack = key(one);
    if (!stack) return one.values;
    const below = tops.get(stack);
    const percent = stack.startsWith('percent');
    const sums = one.values.map((value, at) => (below?.sums[at] ?? 0) + (value ?? 0));
    if (below) bands.push({ series: [index + 1, below.index + 1], dir: one.values.some(value => value < 0) ? 1 : -1 });
    tops.set(stack, { index, sums });
    return one.values.map((value, at) => (value === null ? null : percent ? sums[at] / (totals.get(stack)[at] || 1) : sums[at]));
  });
  return { data, bands };
};

const range = field => (_, least, most) => {
  const { axisSoftMin: softMin, axisSoftMax: softMax, drawStyle, scaleDistribution } = custom(field);
  const { min, max } = field.config;
  if (field.percent) return [0, 1];
  if (scaleDistribution?.type === 'log') return uPlot.rangeLog(least ?? 1, most ?? 10, scaleDistribution.log ?? 2, true);
  const floor = softMin ?? (drawStyle === 'bars' ? 0 : undefined);
  const side = (soft, hard, none) => ({ pad: 0.1, hard: hard ?? none, soft: soft ?? 0, mode: soft === undefined ? 3 : 1 });
  // A line of nothing but 0 lies at the bottom.
  if (!least && !most) return [min ?? Math.min(0, softMin ?? 0), max ?? Math.max(1, softMax ?? 0)];
  const [from, to] = uPlot.rangeNum(least, most, { min: side(floor, min, -Infinity), max: side(softMax, max, Infinity) });
  return [min ?? from, max ?? to];
};

const gradient = (fill, { gradientMode, fillOpacity }) => {
  if (gradientMode === 'none') return faded(fill, fillOpacity / 100);
  return chart => {
    const { top, height } = chart.bbox;
    const shade = chart.ctx.createLinearGradient(0, top, 0, top + height);
    shade.addColorStop(0, faded(fill, fillOpacity / 100));
    shade.addColorStop(1, faded(fill, gradientMode === 'opacity' ? 0 : fillOpacity / 200));
    return shade;
  };
};

const drawAnnotations = ({ annotations, theme }) => chart => {
  const { ctx, bbox: { left, top, width, height } } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  for (const { colour: name, from, to } of annotations) {
    const shade = colour(name, theme);
    const [start, end] = [from, to].map(at => Math.round(chart.valToPos(at, 'x', true)));
    ctx.fillStyle = faded(shade, 0.1);
    ctx.fillRect(start, top, end - start, height);
    ctx.strokeStyle = shade;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
    ctx.beginPath();
    for (const at of [start, end]) {
      ctx.moveTo(at, top);
      ctx.lineTo(at, top + height);
    }
    ctx.stroke();
  }
  ctx.restore();
};

const drawThresholds = (fields, scene) => chart => {
  const { ctx, bbox: { left, top, width, height } } = chart;
  const drawn = new Set();
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  for (const field of fields) {
    const mode = custom(field).thresholdsStyle?.mode ?? 'off';
    const steps = thresholdSteps(field);
    // Fields with the same thresholds draw them once.
    if (mode === 'off' || drawn.has(JSON.stringify([field.scale, steps]))) continue;
    drawn.add(JSON.stringify([field.scale, steps]));
    const place = value => Math.round(chart.valToPos(value, field.scale, true));
    for (const [index, { value, color }] of steps.entries()) {
      const shade = colour(color, scene.theme);
      if (mode.includes('area')) {
        const [from, to] = [value === -Infinity ? top + height : place(value), index + 1 < steps.length ? place(steps[index + 1].value) : top];
        ctx.fillStyle = faded(shade, 0.15);
        ctx.fillRect(left, to, width, from - to);
      }
      if (mode !== 'area' && value !== -Infinity) {
        ctx.strokeStyle = faded(shade, 0.8);
        ctx.lineWidth = 2 * devicePixelRatio;
        ctx.setLineDash(mode.startsWith('dashed') ? [10 * devicePixelRatio, 10 * devicePixelRatio] : []);
        ctx.beginPath();
        ctx.moveTo(left, place(value));
        ctx.lineTo(left + width, place(value));
        ctx.stroke();
      }
    }
  }
  ctx.restore();
};

// As few decimals as tell the ticks exactly.
const tickTexts = (field, at, scene) => {
  const unit = field.percent ? 'percentunit' : field.config.unit;
  const texts = decimals => at.map(value => show({ ...field, config: { ...field.config, mappings: [], unit, decimals } }, value, scene).text);
  const exact = texts(6).map(parseFloat);
  const enough = [0, 1, 2, 3].find(decimals => texts(decimals).every((text, index) => Math.abs(parseFloat(text) - exact[index]) < 1e-6));
  if (field.config.decimals !== undefined) return texts(field.config.decimals);
  return texts(enough).map(text => text.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, ''));
};

// Bytes are counted in powers of two.
const BINARY = Array.from({ length: 50 }, (_, index) => 2 ** index);

const axis = (scale, field, { side, grid }, scene) => {
  const { axisLabel } = custom(field);
  return {
    scale,
    side,
    label: axisLabel || undefined,
    labelFont: `12px ${FONT}`,
    labelSize: axisLabel ? 22 : undefined,
    font: `12px ${FONT}`,
    stroke: style('--text'),
    grid: { show: grid, stroke: style('--grid'), width: 1 },
    ticks: { show: false },
    gap: 6,
    space: (_, __, least, most, pixels) => Math.min(Math.max(pixels / 6, 24), 40),
    incrs: field.config.unit === 'bytes' ? BINARY : undefined,
    values: (_, at) => tickTexts(field, at, scene),
    size: (_, texts) => Math.max(0, ...(texts ?? []).map(text => textWidth(text, 12))) + 14,
  };
};

export const timeseries = ({ body, frames, options, scene, say, hint }) => {
  const { times, series: all } = aligned(frames);
  if (!all.some(({ values }) => values.some(value => value !== null))) return false;
  if (frames.some(frame => frame.fields.some(field => field.type === 'string'))) say('columns of text are not drawn as series');
  for (const { field } of all) {
    const { axisPlacement } = custom(field);
    field.scale = `${field.config.unit ?? ''}/${axisPlacement}/${field.config.min ?? ''}/${field.config.max ?? ''}`;
    field.percent = custom(field).stacking?.mode === 'percent';
  }
  const series = all.filter(({ field }) => !field.config.custom?.hideFrom?.viz);
  const { data, bands } = stacked(series);
  const scales = new Map(series.map(({ field }) => [field.scale, field]).reverse());
  const keys = [...new Set(series.map(({ field }) => field.scale))];
  const shade = field => show(field, calculate('lastNotNull', field.values), scene).colour;

  const holder = element('div', { class: 'plot' });
  const { legend: wanted = {} } = options;
  const chart = element('div', { class: `chart ${wanted.placement === 'right' ? 'right' : ''}` }, holder);
  body.append(chart);
  if (wanted.showLegend !== false && wanted.displayMode !== 'hidden') {
    const items = all.filter(({ field }) => !field.config.custom?.hideFrom?.legend)
      .map(({ field }) => ({ label: field.title, colour: shade(field), field, values: field.values }));
    const node = legend(items, wanted, scene);
    chart.append(node);
    tellCut(node, hint);
  }

  const dash = ({ lineStyle = {} }) => (lineStyle.fill === 'dash' ? lineStyle.dash ?? [10, 10] : lineStyle.fill === 'dot' ? lineStyle.dash ?? [0, 10] : undefined);
  const shown = keys.filter(key => custom(scales.get(key)).axisPlacement !== 'hidden');
  const plot = new uPlot({
    width: holder.clientWidth,
    height: holder.clientHeight,
    legend: { show: false },
    cursor: { show: false },
    tzDate: at => uPlot.tzDate(new Date(at * 1000), scene.zone),
    padding: [8, shown.length > 1 ? 0 : 20, 0, 0],
    scales: {
      x: { time: true, range: [scene.from, scene.to] },
      ...Object.fromEntries(keys.map(key => {
        const field = scales.get(key);
        const { scaleDistribution } = custom(field);
        const logarithmic = scaleDistribution?.type === 'log';
        return [key, { auto: true, range: range(field), distr: logarithmic ? 3 : 1, log: scaleDistribution?.log ?? 10 }];
      })),
    },
    axes: [
      {
        font: `12px ${FONT}`,
        stroke: style('--text'),
        grid: { stroke: style('--grid'), width: 1 },
        ticks: { show: false },
        size: 22,
        gap: 6,
        values: (_, at, __, ___, step) => at.map(value => tick(value, step, scene.zone)),
      },
      ...shown.map((key, index) => {
        const field = scales.get(key);
        const right = custom(field).axisPlacement === 'right' || custom(field).axisPlacement === 'auto' && index > 0;
        return axis(key, field, { side: right ? 1 : 3, grid: index === 0 }, scene);
      }),
    ],
    series: [{}, ...series.map(({ field }) => {
      const { drawStyle, lineInterpolation, lineWidth, showPoints, pointSize, spanNulls, barWidthFactor, ...rest } = custom(field);
      const stroke = shade(field);
      // uPlot itself shows points where they are far enough apart.
      const points = { auto: undefined, always: true, never: false }[showPoints];
      return {
        scale: field.scale,
        stroke,
        width: drawStyle === 'points' ? 0 : lineWidth,
        fill: rest.fillOpacity && drawStyle !== 'points' ? gradient(stroke, rest) : undefined,
        dash: dash(rest),
        spanGaps: spanNulls,
        paths: { bars: uPlot.paths.bars({ size: [barWidthFactor, Infinity] }), points: () => null }[drawStyle] ?? PATHS[lineInterpolation],
        points: { show: drawStyle === 'points' || (drawStyle === 'bars' ? false : points), size: pointSize, width: 0, fill: stroke },
      };
    })],
    bands,
    hooks: { drawAxes: [drawAnnotations(scene), drawThresholds(series.map(({ field }) => field), scene)] },
  }, [times, ...data], holder);
  // uPlot draws in a later turn unless told that all is there.
  plot.redraw(true);
  return true;
};
