// Grafana's transformations of a panel's frames, those that tables are usually made with.

import { calculate, fieldName } from './fields.mjs';

const rows = frame => frame.fields[0]?.values.length ?? 0;
const column = (name, type, values, config = {}) => ({ name, type, values, config });
const typeOf = values => (values.some(value => typeof value === 'string') ? 'string' : 'number');
// Names are those that are shown.
const find = (frame, name, frames) => frame.fields.find(field => fieldName(field, frames) === name || field.name === name);

// One table of all frames; rows whose common columns are the same become one, where they do not contradict each other.
const merge = frames => {
  if (frames.length < 2) return frames;
  const columns = new Map();
  for (const frame of frames) for (const field of frame.fields) {
    const name = fieldName(field, frames);
    columns.set(name, { field: columns.get(name)?.field ?? field, frames: (columns.get(name)?.frames ?? 0) + 1 });
  }
  const keys = [...columns].filter(([, { frames: count }]) => count === frames.length).map(([name]) => name);
  const merged = [];
  const byKey = new Map();
  for (const frame of frames) {
    const names = frame.fields.map(field => fieldName(field, frames));
    for (let index = 0; index < rows(frame); index += 1) {
      const row = Object.fromEntries(frame.fields.map((field, at) => [names[at], field.values[index]]));
      const key = JSON.stringify(keys.map(name => row[name]));
      const same = byKey.get(key) ?? byKey.set(key, []).get(key);
      const into = same.find(other => names.every(name => !(name in other) || other[name] === row[name]));
      if (into) {
        Object.assign(into, row);
      } else {
        same.push(row);
        merged.push(row);
      }
    }
  }
  return [{
    refId: 'merge',
    fields: [...columns].map(([name, { field }]) => ({ ...field, labels: undefined, name, values: merged.map(row => row[name] ?? null) })),
  }];
};

const joinByField = (frames, { byField, mode = 'outer' }, warn) => {
  const keyOf = frame => (byField ? find(frame, byField, frames) : frame.fields.find(field => field.type === 'time'));
  const parts = frames.map(frame => ({ frame, by: keyOf(frame) })).filter(({ by }) => by);
  if (parts.length < 2) return parts.map(({ frame }) => frame);
  if (!['outer', 'inner'].includes(mode)) warn(`transformation joinByField: mode ${mode} is not known`);
  const places = parts.map(({ by }) => new Map(by.values.map((value, index) => [value, index])));
  const unique = parts.every(({ by }, index) => places[index].size === by.values.length);
  if (!unique) warn(`transformation joinByField: ${byField} is not unique, rows are lost`);
  let values = [...new Set(parts.flatMap(({ by }) => by.values))];
  if (mode === 'inner') values = values.filter(value => places.every(place => place.has(value)));
  if (parts[0].by.type !== 'string') values.sort((a, b) => a - b);
  const others = parts.flatMap(({ frame, by }, index) => frame.fields.filter(field => field !== by).map(field => ({
    ...field, values: values.map(value => field.values[places[index].get(value)] ?? null),
  })));
  // Columns of the same name are told apart by a number.
  const names = others.map(field => field.name);
  for (const [index, field] of others.entries()) {
    if (field.labels || names.indexOf(field.name) === names.lastIndexOf(field.name)) continue;
    field.name = `${field.name} ${names.slice(0, index + 1).filter(name => name === names[index]).length}`;
  }
  return [{ refId: 'joinByField', fields: [{ ...parts[0].by, values }, ...others] }];
};

const organize = (frames, { excludeByName = {}, includeByName = {}, renameByName = {}, indexByName = {} }) => frames.map(frame => {
  const names = new Map(frame.fields.map(field => [field, fieldName(field, frames)]));
  const place = field => indexByName[names.get(field)] ?? Infinity;
  const all = !Object.keys(includeByName).length;
  const chosen = frame.fields.filter(field => !excludeByName[names.get(field)] && (all || includeByName[names.get(field)]));
  // The difference of two infinite places is no number, and leaves the two as they are.
  const ordered = chosen.toSorted((a, b) => place(a) - place(b) || 0);
  return {
    ...frame,
    fields: ordered.map(field => {
      const displayName = renameByName[names.get(field)];
      return displayName ? { ...field, config: { ...field.config, displayName } } : field;
    }),
  };
});

const groupingToMatrix = (frames, { columnField = 'Time', rowField = 'Time', valueField = 'Value', emptyValue = 'empty' }) => {
  if (frames.length !== 1) return frames;
  const [by, of, value] = [columnField, rowField, valueField].map(name => find(frames[0], name, frames));
  if (!by || !of || !value) return frames;
  const empty = { empty: '', null: null, zero: 0, true: true, false: false }[emptyValue];
  const across = [...new Set(by.values)];
  const down = [...new Set(of.values)];
  const cells = new Map(value.values.map((one, index) => [JSON.stringify([by.values[index], of.values[index]]), one]));
  return [{
    ...frames[0],
    fields: [
      column(`${rowField}\\${columnField}`, of.type, down),
      ...across.map(name => column(String(name), value.type, down.map(row => cells.get(JSON.stringify([name, row])) ?? empty), value.config)),
    ],
  }];
};

const compare = (a, b) => {
  const [noA, noB] = [a, b].map(value => value === null || value === undefined || Number.isNaN(value));
  if (noA || noB) return noB - noA;
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true });
};
export const sorted = (frame, keys) => {
  const order = Array.from({ length: rows(frame) }, (_, index) => index).sort((a, b) => {
    for (const { field, desc } of keys) {
      const first = compare(field.values[a], field.values[b]);
      if (first) return desc ? -first : first;
    }
    return a - b;
  });
  return { ...frame, fields: frame.fields.map(field => ({ ...field, values: order.map(index => field.values[index]) })) };
};
const sortBy = (frames, { sort = [] }) => frames.map(frame =>
  sorted(frame, sort.map(({ field, desc }) => ({ field: find(frame, field, frames), desc })).filter(({ field }) => field)));

const matches = ({ names = [], pattern } = {}, name) => {
  const [, body, flags] = /^\/(.*)\/(\w*)$/s.exec(pattern ?? '') ?? [null, pattern, ''];
  return names.includes(name) || !!pattern && new RegExp(body, flags).test(name);
};
const filterFieldsByName = (frames, { include, exclude }) => frames.map(frame => ({
  ...frame,
  fields: frame.fields.filter(field => {
    const name = fieldName(field, frames);
    return (!include || matches(include, name)) && !(exclude && matches(exclude, name));
  }),
}));

const labelsToFields = (frames, { mode = 'columns', valueLabel, keepLabels }) => {
  const single = frames.map(frame => {
    const valued = frame.fields.find(field => field.labels);
    if (!valued) return frame;
    const kept = Object.entries(valued.labels).filter(([label]) => !keepLabels || keepLabels.includes(label));
    if (mode === 'rows') {
      return { ...frame, fields: ['label', 'value'].map((name, index) => column(name, 'string', kept.map(pair => pair[index]))) };
    }
    const { labels, ...value } = valued;
    return {
      ...frame,
      fields: [
        ...frame.fields.filter(field => field.type === 'time'),
        ...kept.filter(([label]) => label !== valueLabel).map(([label, text]) => column(label, 'string', value.values.map(() => text))),
        { ...value, name: labels[valueLabel] ?? value.name, config: {} },
      ],
    };
  });
  return mode === 'rows' ? single : merge(single);
};

const seriesToRows = frames => {
  const points = frames.flatMap(frame => {
    const at = frame.fields.find(field => field.type === 'time');
    return frame.fields.filter(field => field.type === 'number').flatMap(field =>
      field.values.map((value, index) => [at.values[index], fieldName(field, frames), value]).filter(([, , value]) => value !== null));
  }).sort(([a], [b]) => b - a);
  const columns = [['Time', 'time'], ['Metric', 'string'], ['Value', 'number']];
  return [{ refId: 'seriesToRows', fields: columns.map(([name, type], index) => column(name, type, points.map(point => point[index]))) }];
};

const groupBy = (frames, { fields = {} }) => frames.map(frame => {
  const asked = frame.fields.map(field => ({ field, ...fields[fieldName(field, frames)] }));
  const by = asked.filter(({ operation }) => operation === 'groupby').map(({ field }) => field);
  if (!by.length) return frame;
  const groups = new Map();
  for (let index = 0; index < rows(frame); index += 1) {
    const key = JSON.stringify(by.map(field => field.values[index]));
    groups.set(key, [...groups.get(key) ?? [], index]);
  }
  const members = [...groups.values()];
  return {
    ...frame,
    fields: asked.flatMap(({ field, operation, aggregations = [] }) => {
      if (operation === 'groupby') return [{ ...field, values: members.map(([first]) => field.values[first]) }];
      if (operation !== 'aggregate') return [];
      return aggregations.map(name => {
        const values = members.map(indexes => calculate(name, indexes.map(index => field.values[index])));
        return column(`${fieldName(field, frames)} (${name})`, typeOf(values), values);
      });
    }),
  };
});

const TRANSFORMATIONS = {
  merge, joinByField, seriesToColumns: joinByField, organize, groupingToMatrix, sortBy, filterFieldsByName, labelsToFields, seriesToRows, groupBy,
};

const step = warn => (before, { id, options = {}, filter, topic }) => {
  if (!TRANSFORMATIONS[id]) {
    warn(`transformation ${id} is not known`);
    return before;
  }
  if (filter || topic) warn(`transformation ${id}: filter and topic are not known`);
  return TRANSFORMATIONS[id](before, options, warn);
};
export const transform = (frames, transformations = [], warn) => transformations.filter(({ disabled }) => !disabled).reduce(step(warn), frames);
