// Tables: columns by their configuration, cells as text, coloured, or with a bar.

import { faded, inkOn } from './colours.mjs';
import { share, show } from './fields.mjs';
import { gauge } from './gauge.mjs';
import { element } from './html.mjs';
import { sorted } from './transform.mjs';

const HEIGHTS = { sm: 36, md: 42, lg: 48 };
const LEAST = 150;
// The older way to say what a cell looks like.
const DISPLAY_MODES = {
  'color-background': { type: 'color-background', mode: 'gradient' },
  'color-background-solid': { type: 'color-background', mode: 'basic' },
  basic: { type: 'gauge', mode: 'basic' },
  'gradient-gauge': { type: 'gauge', mode: 'gradient' },
  'lcd-gauge': { type: 'gauge', mode: 'lcd' },
};
const cellOptions = ({ config: { custom = {} } }) =>
  custom.cellOptions ?? DISPLAY_MODES[custom.displayMode] ?? { type: custom.displayMode ?? 'auto' };

// Columns without a width share what is left, and are never narrower than Grafana makes them.
const widths = (fields, whole) => {
  const asked = fields.map(({ config: { custom = {} } }) => ({ width: custom.width, least: custom.minWidth ?? LEAST }));
  const free = asked.filter(({ width }) => !width);
  let left = whole - asked.reduce((sum, { width }) => sum + (width ?? 0), 0);
  let open = free.length;
  const narrow = new Map();
  for (const one of free.toSorted((a, b) => b.least - a.least)) {
    const width = Math.max(one.least, left / open);
    narrow.set(one, width);
    left -= width;
    open -= 1;
  }
  return asked.map(one => one.width ?? narrow.get(one));
};

const cell = (field, value, row, scene) => {
  const { align = 'auto' } = field.config.custom ?? {};
  const side = align === 'auto' || !align ? (field.type === 'number' ? 'right' : 'left') : align;
  const { type, mode, valueDisplayMode = 'color' } = cellOptions(field);
  const shown = show(field, value, scene);
  const text = field.config.links?.length ? element('a', {}, shown.text) : shown.text;
  const node = element('td', { class: side }, text);
  if (type === 'gauge' && typeof value === 'number') {
    node.className = 'bar';
    const ink = valueDisplayMode === 'color' ? shown.colour : 'inherit';
    const label = valueDisplayMode === 'hidden' ? null : element('span', { style: `color: ${ink}` }, shown.text);
    node.replaceChildren(element('div', { class: 'gauge' }, [gauge(share(field, value), shown.colour, mode), label]));
  } else if (type === 'color-text') {
    node.style.color = shown.colour;
  } else if (type === 'color-background') {
    row.colour = shown.colour;
    paint(node, shown.colour, mode);
  }
  return node;
};
const paint = (node, shade, mode) => {
  node.style.color = inkOn(shade);
  node.style.background = mode === 'basic' ? shade : `linear-gradient(120deg, ${shade}, ${faded(shade, 0.85)})`;
};

export const table = ({ body, frames, options, scene, say, hint }) => {
  body.classList.add('flush');
  const full = frames.filter(frame => frame.fields[0]?.values.length);
  if (!full.length) return false;
  if (full.length > 1) say(`only one of ${full.length} frames is shown`);
  let frame = frames[options.frameIndex ?? 0]?.fields[0]?.values.length ? frames[options.frameIndex ?? 0] : full[0];
  const keys = (options.sortBy ?? []).map(({ displayName, desc }) => ({ field: frame.fields.find(({ title }) => title === displayName), desc }));
  if (keys.some(({ field }) => !field)) say('the column to sort by is not there');
  frame = sorted(frame, keys.filter(({ field }) => field));
  const fields = frame.fields.filter(({ config }) => !config.custom?.hideFrom?.viz);

  const sizes = widths(fields, body.clientWidth);
  const height = HEIGHTS[options.cellHeight ?? 'sm'];
  const head = element('tr', {}, fields.map((field, index) => {
    const { align = 'auto' } = field.config.custom ?? {};
    const side = align === 'auto' || !align ? (field.type === 'number' ? 'right' : 'left') : align;
    return element('th', { class: side, style: `width: ${sizes[index]}px` }, field.title);
  }));
  const rows = frame.fields[0].values.map((_, index) => {
    const row = {};
    const node = element('tr', { style: `height: ${height}px` }, fields.map(field => cell(field, field.values[index], row, scene)));
    const whole = fields.find(field => cellOptions(field).applyToRow);
    if (whole && row.colour) for (const one of node.children) paint(one, row.colour, cellOptions(whole).mode);
    return node;
  });
  const total = sizes.reduce((a, b) => a + b, 0);
  const node = element('table', { class: 'data', style: `width: ${total}px` }, [options.showHeader === false ? null : head, ...rows]);
  body.append(node);
  if (node.rows[0]?.style.height) for (const [index, one] of [...node.rows[0].cells].entries()) one.style.width = `${sizes[index]}px`;

  if (total > body.clientWidth + 1) hint(`the table is ${Math.round(total - body.clientWidth)} px wider than the panel`);
  const bottom = body.getBoundingClientRect().bottom;
  const out = rows.filter(row => row.getBoundingClientRect().bottom > bottom + 1).length;
  if (out) hint(`${out} of ${rows.length} rows are out of sight`);
  const cut = [...node.querySelectorAll('td, th')].filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent);
  if (cut.length) hint(`${cut.length} cells are cut, such as ${cut[0]}`);
  return true;
};
