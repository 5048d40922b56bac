// The legend of a chart: a list, or a table with a column for each calculation.

import { CALC_NAMES, calculate, show } from './fields.mjs';
import { element } from './html.mjs';

const calculated = (name, { field, values }, scene) => {
  const value = calculate(name, values);
  return name === 'count' || name === 'distinctCount' ? String(value) : show(field, value, scene).text;
};
const mark = colour => element('span', { class: 'mark', style: `background: ${colour}` });

// `items` are {label, colour, field, values}; items without a field have no calculations.
export const legend = (items, { displayMode = 'list', placement = 'bottom', calcs = [], sortBy, sortDesc, width }, scene) => {
  const named = calcs.map(name => [name, CALC_NAMES[name]]);
  const sorter = named.find(([, text]) => text === sortBy)?.[0];
  let ordered = items;
  if (sortBy === 'Name') ordered = items.toSorted((a, b) => a.label.localeCompare(b.label));
  if (sorter) ordered = items.toSorted((a, b) => (calculate(sorter, a.values) ?? -Infinity) - (calculate(sorter, b.values) ?? -Infinity));
  if (ordered !== items && sortDesc) ordered.reverse();
  const size = placement === 'right' && width ? `width: ${width}px` : undefined;
  if (displayMode === 'list') {
    return element('div', { class: 'legend list', style: size }, ordered.map(item => element('span', {}, [
      mark(item.colour), item.label, ...named.map(([name, text]) => element('span', { class: 'calc' }, `${text}: ${calculated(name, item, scene)}`)),
    ])));
  }
  return element('div', { class: 'legend', style: size }, element('table', {}, [
    element('tr', {}, [element('th', {}, 'Name'), ...named.map(([, text]) => element('th', {}, text))]),
    ...ordered.map(item => element('tr', {}, [
      element('td', {}, [mark(item.colour), item.label]), ...named.map(([name]) => element('td', {}, calculated(name, item, scene))),
    ])),
  ]));
};

// What a legend that is too long for its panel hides, Grafana shows by scrolling.
export const tellCut = (node, hint) => {
  if (node.scrollHeight > node.clientHeight + 1) hint('the legend is cut');
};
