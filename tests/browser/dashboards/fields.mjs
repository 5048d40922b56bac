// What a field of a frame is called and how its values are shown: defaults and overrides, thresholds, mappings, units, colours.
// A frame is {refId, name?, fields: [{name, type, labels?, values, config}]}; type is time, number or string.

import { SCHEMES, colour, schemeColour, seriesColour } from './colours.mjs';
import { dateTime, format } from './format.mjs';

export const labelsText = labels => `{${Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ')}}`;

// `frames` are all of the panel: of several series with one label that differs, its value is the name.
export const fieldName = (field, frames = []) => {
  const { displayName, displayNameFromDS } = field.config;
  if (displayName) {
    return displayName.replace(/\$\{__field\.labels\.(\w+)\}|\$\{__field\.labels\["([^"]+)"\]\}|\$\{__field\.name\}/g, (all, label, quoted) =>
      (label ?? quoted ? field.labels?.[label ?? quoted] ?? '' : displayNameFromDS ?? field.name));
  }
  if (displayNameFromDS) return displayNameFromDS;
  if (!field.labels || !Object.keys(field.labels).length) return field.name;
  const series = frames.flatMap(frame => frame.fields).filter(one => one.type === 'number' && one.labels);
  const differ = Object.keys(field.labels).filter(label => series.some(one => one.labels[label] !== field.labels[label]));
  return differ.length === 1 ? field.labels[differ[0]] : labelsText(field.labels);
};

const pattern = text => {
  const [, body, flags] = /^\/(.*)\/([a-z]*)$/s.exec(text) ?? [null, text, ''];
  return new RegExp(body, flags);
};
export const MATCHERS = {
  byName: (options, { name, field }) => name === options || field.name === options,
  byRegexp: (options, { name }) => pattern(options).test(name),
  byFrameRefID: (options, { frame }) => frame.refId === options,
  byType: (options, { field }) => field.type === options,
};

const setAt = (target, path, value) => {
  const steps = path.split('.');
  const last = steps.pop();
  let at = target;
  for (const step of steps) at = at[step] ??= {};
  at[last] = value;
};

// Fields with their whole config, and their places in the palette.
export const configure = (frames, { defaults = {}, overrides = [] } = {}) => {
  let series = 0;
  return frames.map(frame => ({
    ...frame,
    fields: frame.fields.map(field => {
      const name = fieldName({ ...field, config: { displayName: defaults.displayName, ...field.config } }, frames);
      const config = { ...structuredClone(defaults), ...field.config };
      for (const { matcher, properties } of overrides) {
        if (!MATCHERS[matcher.id]?.(matcher.options, { name, field, frame })) continue;
        for (const { id, value } of properties) setAt(config, id, value);
      }
      const index = field.type === 'time' ? undefined : series++;
      const whole = { ...field, config, index };
      return { ...whole, title: fieldName(whole, frames) };
    }),
  }));
};

const numbers = fields => fields.flatMap(field => (field.type === 'number' ? field.values.filter(Number.isFinite) : []));
// Grafana takes the range of all numbers of a panel where min and max are not set.
export const withRange = frames => {
  const all = numbers(frames.flatMap(frame => frame.fields));
  const [least, most] = all.length ? [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] : [0, 100];
  return frames.map(frame => ({
    ...frame,
    fields: frame.fields.map(field => ({ ...field, min: field.config.min ?? least, max: field.config.max ?? most })),
  }));
};

const SPECIAL = {
  null: value => value === null || value === undefined,
  nan: Number.isNaN,
  'null+nan': value => value === null || value === undefined || Number.isNaN(value),
  true: value => value === true,
  false: value => value === false,
  empty: value => value === '',
};
const MAPPINGS = {
  value: (options, value) => options[value],
  range: ({ from, to, result }, value) => {
    const inside = typeof value === 'number' && value >= (from ?? -Infinity) && value <= (to ?? Infinity);
    return inside ? result : undefined;
  },
  regex: ({ pattern: text, result }, value) => {
    if (value === null || value === undefined || !pattern(text).test(value)) return undefined;
    return { ...result, text: result.text && String(value).replace(pattern(text), result.text) };
  },
  special: ({ match, result }, value) => (SPECIAL[match]?.(value) ? result : undefined),
};
const mapped = (mappings, value) => {
  for (const { type, options } of mappings ?? []) {
    const result = MAPPINGS[type]?.(options, value);
    if (result) return result;
  }
  return undefined;
};

const STEPS = { mode: 'absolute', steps: [{ value: null, color: 'green' }, { value: 80, color: 'red' }] };
// Without a value the first step counts, so that nothing at all is as green as a good number.
export const thresholdSteps = ({ config: { thresholds = STEPS }, min, max }) => thresholds.steps.map(({ value, color }) => ({
  color,
  value: value === null || value === undefined ? -Infinity : thresholds.mode === 'percentage' ? min + (max - min) * value / 100 : value,
}));
const valueColour = (field, value, theme) => {
  const { mode = 'thresholds', fixedColor = 'text' } = field.config.color ?? {};
  if (mode === 'fixed') return colour(fixedColor, theme);
  if (mode === 'palette-classic') return seriesColour(field.index ?? 0, theme);
  if (mode in SCHEMES) return schemeColour(mode, share(field, value), theme);
  return colour(thresholdSteps(field).filter(step => step.value === -Infinity || value >= step.value).at(-1)?.color ?? 'text', theme);
};
export const share = ({ min, max }, value) => (max > min && value > min ? Math.min(Math.max((value - min) / (max - min), 0), 1) : 0);

// How a value is shown: {text, colour}; `scene` has the theme, the zone and the range of time.
export const show = (field, value, scene) => {
  const { config } = field;
  const map = mapped(config.mappings, value);
  const numeric = typeof value === 'number' ? value : NaN;
  const result = { colour: map?.color ? colour(map.color, scene.theme) : valueColour(field, numeric, scene.theme) };
  if (map?.text) return { ...result, text: map.text };
  if (value === null || value === undefined) return { ...result, text: config.noValue ?? '' };
  if (field.type === 'time') return { ...result, text: dateTime(value, scene.zone) };
  return { ...result, text: typeof value === 'number' ? format(value, config.unit, config.decimals, scene) : String(value) };
};

const present = values => values.filter(value => value !== null && value !== undefined);
const counted = values => values.filter(Number.isFinite);
const sum = values => counted(values).reduce((a, b) => a + b, 0);
export const CALCS = {
  last: values => values.at(-1),
  lastNotNull: values => present(values).filter(value => !Number.isNaN(value)).at(-1) ?? present(values).at(-1),
  first: values => values[0],
  firstNotNull: values => present(values)[0],
  min: values => counted(values).reduce((a, b) => Math.min(a, b), Infinity),
  max: values => counted(values).reduce((a, b) => Math.max(a, b), -Infinity),
  mean: values => sum(values) / counted(values).length,
  sum,
  count: values => values.length,
  range: values => CALCS.max(values) - CALCS.min(values),
  distinctCount: values => new Set(values).size,
};
export const CALC_NAMES = {
  last: 'Last', lastNotNull: 'Last *', first: 'First', firstNotNull: 'First *', min: 'Min', max: 'Max', mean: 'Mean', sum: 'Total',
  count: 'Count', range: 'Range', distinctCount: 'Distinct Count',
};
// Of no number at all there is no minimum, maximum or mean.
export const calculate = (name, values) => {
  if (['min', 'max', 'mean', 'range'].includes(name) && !counted(values).length) return null;
  return CALCS[name]?.(values) ?? null;
};
