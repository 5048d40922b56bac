// Stat and bar gauge: single values, reduced from series or taken row by row.

import { faded, inkOn } from './colours.mjs';
import { calculate, share, show } from './fields.mjs';
import { gauge } from './gauge.mjs';
import { element, textWidth } from './html.mjs';

// Which fields count: all numbers, or those whose name a pattern matches.
const chosen = (frame, { fields = '' }) => {
  if (!fields) return frame.fields.filter(field => field.type === 'number');
  const pattern = new RegExp(/^\/(.*)\/$/.exec(fields)?.[1] ?? `^${fields}$`);
  return frame.fields.filter(field => pattern.test(field.title));
};
const reduced = (frames, { calcs = ['lastNotNull'], values = false, limit = 25, ...rest } = {}, scene) => frames.flatMap(frame => {
  const item = (field, value, name) => ({ field, name, value, line: [], ...show(field, value, scene) });
  const times = new Set(frame.fields.find(field => field.type === 'time')?.values);
  if (!values) {
    return chosen(frame, rest).filter(field => field.values.length)
      .map(field => ({ ...item(field, calculate(calcs[0], field.values), field.title), line: times.size > 1 ? field.values : [] }));
  }
  const names = frame.fields.filter(field => field.type === 'string');
  return (frame.fields[0]?.values ?? []).slice(0, limit).flatMap((_, index) => {
    const name = names.map(one => show(one, one.values[index], scene).text).join(' ');
    return chosen(frame, rest).map(field => item(field, field.values[index], field.type === 'number' && name || field.title));
  });
});

// What Grafana shows where there is nothing: in the colour of the first threshold.
const absent = ({ fieldConfig: { defaults = {} } = {} }, scene) => {
  const shown = show({ type: 'other', config: defaults, values: [], min: 0, max: 100 }, null, scene);
  return { line: [], name: '', ...shown, text: shown.text || 'No data' };
};

// As many columns as leave the items the most room; a text wants to be about twice as wide as high.
const columns = (count, width, height) => {
  const sizes = Array.from({ length: count }, (_, index) => {
    const across = index + 1;
    const down = Math.ceil(count / across);
    return { across, size: Math.min((width - (across - 1) * 8) / across, ((height - (down - 1) * 8) / down) * 2.2) };
  });
  return sizes.reduce((best, one) => (one.size > best.size + 0.5 ? one : best)).across;
};

const sparkline = ({ line: all }, shade) => {
  const points = all.map((value, index) => [index, value]).filter(([, value]) => Number.isFinite(value));
  if (points.length < 2) return null;
  const values = points.map(([, value]) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const last = all.length - 1;
  const height = value => (most > least ? 95 - (value - least) / (most - least) * 90 : 95);
  const line = points.map(([index, value]) => `${(index / last * 100).toFixed(2)},${height(value).toFixed(2)}`).join(' ');
  const holder = element('div');
  holder.innerHTML = `<svg viewBox="0 0 100 100" preserveAspectRatio="none">
    <polygon points="0,100 ${line} 100,100" fill="${faded(shade, 0.25)}"/>
    <polyline points="${line}" fill="none" stroke="${shade}" stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg>`;
  return holder.firstElementChild;
};

export const stat = ({ body, panel, frames, options, scene, hint }) => {
  const { textMode = 'auto', colorMode = 'value', graphMode = 'area', orientation = 'auto', justifyMode = 'auto', text: sizes = {} } = options;
  const items = reduced(frames, options.reduceOptions, scene);
  const empty = !items.length;
  if (empty) items.push(absent(panel, scene));
  const background = colorMode.startsWith('background');
  const names = !empty && (textMode === 'value_and_name' || textMode === 'name' || textMode === 'auto' && items.length > 1);
  const { clientWidth: width, clientHeight: height } = body;
  const across = orientation === 'auto' ? columns(items.length, width, height) : orientation === 'vertical' ? items.length : 1;
  const down = Math.ceil(items.length / across);
  const [wide, high] = [(width - (across - 1) * 8) / across - 16, (height - (down - 1) * 8) / down - 16];
  const chart = graphMode === 'area' && items.some(({ line }) => line.length > 1);
  const row = names && !chart && textMode !== 'name' && wide / high > 2.5;

  const fit = (texts, weight, room, most) => Math.max(10, Math.min(most, ...texts.map(one => room / textWidth(one || ' ', 1, weight))));
  const tall = names ? (row ? 0.7 : 0.5) : chart ? 0.5 : 0.75;
  const valueSize = sizes.valueSize ?? fit(items.map(({ text }) => text), 500, row ? wide * 0.35 : wide * 0.9, high * tall);
  const nameSize = sizes.titleSize ?? fit(items.map(({ name }) => name), 400, row ? wide * 0.6 : wide, Math.min(20, valueSize * 0.7));

  const grid = element('div', { class: 'values', style: `grid-template: repeat(${down}, minmax(0, 1fr)) / repeat(${across}, minmax(0, 1fr))` });
  for (const item of items) {
    const ink = background ? inkOn(item.colour) : colorMode === 'value' ? item.colour : 'inherit';
    const name = names ? element('span', { class: 'name', style: `font-size: ${nameSize}px` }, item.name) : null;
    const value = ['name', 'none'].includes(textMode) ? null : element('span', { class: 'value', style: `font-size: ${valueSize}px; color: ${ink}` }, item.text);
    const kinds = ['stat', row && 'wide', (!names || justifyMode === 'center') && 'alone', chart && names && 'chart'].filter(Boolean);
    const line = chart ? sparkline(item, background ? '#FFFFFF' : item.colour) : null;
    const box = element('div', { class: kinds.join(' ') }, [line, name, value]);
    if (background) {
      box.style.background = shadeOf(item.colour, colorMode);
      box.style.color = inkOn(item.colour);
    } else {
      box.style.padding = '8px 0';
    }
    grid.append(box);
  }
  body.append(grid);
  const cut = [...grid.querySelectorAll('.stat, .name')].filter(one => one.scrollWidth > one.clientWidth + 1);
  if (cut.length) hint(`${cut[0].textContent} is cut`);
  return !empty;
};
const shadeOf = (shade, mode) => (mode === 'background_solid' ? shade : `linear-gradient(120deg, color-mix(in srgb, ${shade} 82%, black), ${shade})`);

export const barGauge = ({ body, frames, options, scene, hint }) => {
  const {
    orientation = 'auto', displayMode = 'gradient', valueMode = 'color', showUnfilled = true, namePlacement = 'auto', minVizHeight = 16, text: sizes = {},
  } = options;
  const items = reduced(frames, options.reduceOptions, scene);
  if (!items.length) return false;
  const { clientWidth: width, clientHeight: height } = body;
  const ink = item => (valueMode === 'color' ? item.colour : 'inherit');
  if (orientation === 'vertical' || orientation === 'auto' && width > height * 2.5 && items.length > 1) {
    body.append(element('div', { class: 'columns' }, items.map(item => element('div', { class: 'item' }, [
      valueMode === 'hidden' ? null : element('span', { class: 'value', style: `color: ${ink(item)}` }, item.text),
      element('div', { class: `track ${showUnfilled ? 'unfilled' : ''}` },
        element('i', {
          style: `height: ${share(item.field, item.value) * 100}%; background: linear-gradient(0deg, ${faded(item.colour, 0.5)}, ${item.colour})`,
        })),
      element('span', { class: 'name' }, item.name),
    ]))));
  } else {
    const high = (height - (items.length - 1) * 8) / items.length;
    const over = namePlacement === 'top' || namePlacement === 'auto' && high >= 44;
    const size = Math.min(Math.max((over ? high * 0.4 : high * 0.6), 11), 16);
    const [nameSize, valueSize] = [sizes.titleSize ?? size, sizes.valueSize ?? size + 1];
    const most = (texts, font, weight) => Math.ceil(Math.max(...texts.map(one => textWidth(one, font, weight)))) + 2;
    const nameWidth = Math.min(most(items.map(({ name }) => name), nameSize), width * 0.4);
    const valueStyle = `font-size: ${valueSize}px; width: ${most(items.map(({ text }) => text), valueSize, 500)}px`;
    body.append(element('div', { class: 'bars' }, items.map(item => element('div', { class: `item ${over ? 'over' : ''}` }, [
      element('span', { class: 'name', style: `font-size: ${nameSize}px; ${over ? '' : `width: ${nameWidth}px`}` }, item.name),
      element('div', { class: 'gauge' }, [
        gauge(share(item.field, item.value), item.colour, displayMode, showUnfilled),
        valueMode === 'hidden' ? null : element('span', { class: 'value', style: `${valueStyle}; color: ${ink(item)}` }, item.text),
      ]),
    ]))));
    if (high < minVizHeight) hint(`${items.length} bars are too many for the panel`);
  }
  const cut = [...body.querySelectorAll('.name')].filter(one => one.scrollWidth > one.clientWidth + 1);
  if (cut.length) hint(`${cut[0].textContent} is cut`);
  return true;
};
