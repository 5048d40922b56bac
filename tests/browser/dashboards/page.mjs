// Lays a dashboard's panels out and draws them; gives back what a reader would not see: cut texts, panels without data.

import { configure, withRange } from './fields.mjs';
import { element } from './html.mjs';
import { stateTimeline } from './timeline.mjs';
import { table } from './table.mjs';
import { timeseries } from './timeseries.mjs';
import { barGauge, stat } from './values.mjs';

const CELL = 30;
const GAP = 8;
const PANELS = { timeseries, stat, bargauge: barGauge, table, 'state-timeline': stateTimeline };

const place = (node, { x, y, w, h }, width) => {
  const column = (width - 23 * GAP) / 24;
  Object.assign(node.style, {
    left: `${x * (column + GAP)}px`,
    top: `${y * (CELL + GAP)}px`,
    width: `${w * column + (w - 1) * GAP}px`,
    height: `${h * CELL + (h - 1) * GAP}px`,
  });
};

const heading = ({ type, title, description, panels, collapsed }) => {
  if (type !== 'row') return element('h2', {}, [title, description && element('span', { class: 'info' }, 'i')]);
  const hidden = collapsed && panels?.length ? element('small', {}, `  (${panels.length} panel${panels.length === 1 ? '' : 's'})`) : null;
  return element('h2', {}, [`${collapsed ? '›' : '⌄'}  ${title}`, hidden]);
};

const drawPanel = (body, { panel, frames }, scene, { say, hint }) => {
  if (panel.type === 'row') return true;
  const configured = withRange(configure(frames, panel.fieldConfig));
  const drawn = PANELS[panel.type]?.({ body, panel, frames: configured, options: panel.options ?? {}, scene, say, hint });
  if (drawn) return true;
  if (!body.childNodes.length) body.append(element('div', { class: 'nothing' }, panel.fieldConfig?.defaults?.noValue ?? 'No data'));
  return false;
};

// JSON has no NaN and no infinities.
const revive = (_, value) => (value?.$number === undefined ? value : Number(value.$number));

globalThis.drawDashboard = async text => {
  const { title, variables, range, panels, ...scene } = JSON.parse(text, revive);
  document.documentElement.className = scene.theme;
  await Promise.all([400, 500].map(weight => document.fonts.load(`${weight} 14px Inter`)));
  document.querySelector('header').append(
    element('h1', {}, title),
    ...variables.map(({ label, text: shown }) => element('div', { class: 'variable' }, [element('b', {}, label), element('span', {}, shown)])),
    element('div', { class: 'range' }, range),
  );
  const main = document.querySelector('main');
  main.style.height = `${Math.max(...panels.map(({ box }) => box.y + box.h)) * (CELL + GAP) - GAP}px`;
  const notes = [];
  let empty = 0;
  for (const one of panels) {
    const { panel, box } = one;
    const note = wrong => text => notes.push({ wrong, text: `panel ${panel.title || panel.type}: ${text}` });
    // What is not drawn as Grafana would, and what Grafana would not show either.
    const [say, hint] = [note(true), note(false)];
    const body = element('div', { class: 'body' });
    const kind = panel.type === 'row' ? 'row' : panel.transparent ? 'transparent' : undefined;
    const node = element('section', { class: kind }, [panel.title && heading(panel), panel.type !== 'row' && body]);
    place(node, box, main.clientWidth);
    main.append(node);
    const head = node.querySelector('h2');
    if (head && head.scrollWidth > head.clientWidth) hint('the title is cut');
    if (!drawPanel(body, one, scene, { say, hint })) empty += 1;
  }
  return { notes, empty };
};
