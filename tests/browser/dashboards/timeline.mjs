// State timeline: a lane for each series, a block for each state it was in.

import { faded, inkOn } from './colours.mjs';
import { show } from './fields.mjs';
import { tick } from './format.mjs';
import { element, textWidth } from './html.mjs';
import { legend, tellCut } from './legend.mjs';

const STEPS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

const blocks = (field, times, scene, mergeValues) => {
  const found = [];
  for (const [index, value] of field.values.entries()) {
    if (value === null) continue;
    const end = times[index + 1] ?? times[index] + times[index] - (times[index - 1] ?? times[index]);
    const before = found.at(-1);
    if (before && mergeValues && before.value === value && before.end === times[index]) before.end = end;
    else found.push({ value, start: times[index], end, ...show(field, value, scene) });
  }
  return found;
};

export const stateTimeline = ({ body, frames, options, scene, hint }) => {
  const { mergeValues = true, showValue = 'auto', rowHeight = 0.9, alignValue = 'left', legend: wanted = {} } = options;
  const lanes = frames.flatMap(frame => {
    const times = frame.fields.find(field => field.type === 'time')?.values.map(at => at / 1000);
    if (!times) return [];
    return frame.fields.filter(field => field.type !== 'time').map(field => ({ field, blocks: blocks(field, times, scene, mergeValues) }));
  });
  if (!lanes.some(lane => lane.blocks.length)) return false;
  const { from, to } = scene;
  const place = at => (Math.min(Math.max(at, from), to) - from) / (to - from) * 100;
  const nameWidth = Math.min(Math.max(...lanes.map(({ field }) => textWidth(field.title, 12))) + 12, body.clientWidth * 0.3);
  const width = body.clientWidth - 16 - nameWidth;
  const step = STEPS.find(one => (to - from) / one * 70 < width) ?? STEPS.at(-1);
  const ticks = Array.from({ length: Math.floor(to / step) - Math.ceil(from / step) + 1 }, (_, index) => (Math.ceil(from / step) + index) * step);
  const line = at => element('u', { style: `left: ${place(at)}%` });

  const drawn = lanes.map(lane => {
    const { fillOpacity = 70, lineWidth = 0 } = lane.field.config.custom ?? {};
    return element('div', { class: 'lane' }, [
      element('span', { class: 'name', style: `width: ${nameWidth}px` }, lane.field.title),
      element('div', { class: 'track' }, [...ticks.map(line), ...lane.blocks.map(block => {
        const [left, right] = [place(block.start), place(block.end)];
        const fits = textWidth(block.text, 12) + 8 < (right - left) / 100 * width;
        const style = `left: ${left}%; width: ${right - left}%; top: ${(1 - rowHeight) * 50}%; bottom: ${(1 - rowHeight) * 50}%;
          justify-content: ${alignValue}; background: ${faded(block.colour, fillOpacity / 100)}; border: ${lineWidth}px solid ${block.colour};
          color: ${fillOpacity > 50 ? inkOn(block.colour) : 'inherit'}`;
        return element('i', { style }, showValue === 'always' || showValue === 'auto' && fits ? block.text : '');
      })]),
    ]);
  });
  const axis = element('div', { class: 'ticks', style: `margin-left: ${nameWidth}px` },
    ticks.filter(at => place(at) > 1 && place(at) < 99).map(at => element('span', { style: `left: ${place(at)}%` }, tick(at, step, scene.zone))));
  const node = element('div', { class: 'timeline' }, [element('div', { class: 'lanes' }, drawn), axis]);
  if (wanted.showLegend !== false && wanted.displayMode !== 'hidden') {
    const states = new Map(lanes.flatMap(lane => lane.blocks.map(({ text, colour }) => [`${text} ${colour}`, { label: text, colour, values: [] }])));
    node.append(legend([...states.values()], { ...wanted, displayMode: 'list', calcs: [] }, scene));
  }
  body.append(node);
  if (node.lastChild.classList.contains('legend')) tellCut(node.lastChild, hint);
  if (drawn.some(lane => lane.clientHeight < 14)) hint(`${lanes.length} lanes are too many for the panel`);
  const cut = [...node.querySelectorAll('.name')].filter(one => one.scrollWidth > one.clientWidth + 1);
  if (cut.length) hint(`${cut[0].textContent} is cut`);
  return true;
};
