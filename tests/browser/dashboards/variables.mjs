// Fills a dashboard's variables into texts and queries, as Grafana does for Prometheus.

const literal = value => value.replace(/[\\^$*+?.()|[\]{}]/g, '\\$&');
const anyOf = values => (values.length === 1 ? values[0] : `(${values.join('|')})`);
const FORMATS = {
  raw: values => values.join(','),
  csv: values => values.join(','),
  pipe: values => values.join('|'),
  text: (values, { text }) => text,
  queryparam: (values, { name }) => values.map(value => `var-${name}=${encodeURIComponent(value)}`).join('&'),
  percentencode: values => encodeURIComponent(values.join(',')),
  regex: values => anyOf(values.map(literal)),
  // Values of variables that can have several stand in =~, others in =.
  query: (values, { several }) => {
    if (!several) return values[0].replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('"', '\\"');
    return anyOf(values.map(value => literal(value).replaceAll('\\', '\\\\')));
  },
};

// `scope` is a map of {name, values, text, several, raw?}; what it does not have is left as it stands.
const VARIABLE = /\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g;
export const fill = (text, scope, style, warn) => text.replace(VARIABLE, (all, a, b, bStyle, c, cStyle) => {
  const variable = scope.get(a ?? b ?? c);
  if (!variable) return all;
  const asked = bStyle ?? cStyle ?? style;
  if (!FORMATS[asked]) {
    warn(`format of a variable ${all} is not known`);
    return all;
  }
  if (variable.raw !== undefined && asked !== 'text') return variable.raw;
  return FORMATS[asked](variable.values, variable);
});

const constant = (name, value) => [name, { name, values: [String(value)], text: String(value), several: false, raw: String(value) }];
const seconds = text => {
  const [, count, unit] = /^>?(\d+(?:\.\d+)?)(ms|[smhdwMy])$/.exec(text) ?? [];
  return count * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, M: 2592000, y: 31536000 }[unit];
};
export const duration = text => {
  const value = seconds(text);
  if (!(value > 0)) throw new Error(`${text} is no duration such as 30m or 6h`);
  return value;
};
const written = value => (Number.isInteger(value) ? `${value}s` : `${Math.round(value * 1000)}ms`);

// The step of a query and what follows from it, for a panel so many pixels wide.
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800];
export const intervals = ({ range, scrape, points, least }) => {
  const minimum = least ? seconds(least) : scrape;
  const wanted = range / points;
  const rounded = STEPS.reduce((best, step) => (Math.abs(Math.log(step / wanted)) < Math.abs(Math.log(best / wanted)) ? step : best));
  const step = Math.max(rounded, minimum);
  return {
    step,
    scope: [
      constant('__interval', written(step)),
      constant('__interval_ms', step * 1000),
      constant('__rate_interval', written(Math.max(step + minimum, 4 * minimum))),
      constant('__range', written(range)),
      constant('__range_s', range),
      constant('__range_ms', range * 1000),
    ],
  };
};

const queryText = ({ query, definition }) => (typeof query === 'string' ? query : query?.query ?? definition ?? '');
const options = async (variable, scope, prometheus, warn) => {
  if (variable.type === 'custom') {
    return (variable.query ?? '').split(/(?<!\\),/).map(item => item.trim().replaceAll('\\,', ',')).filter(Boolean).map(item => {
      const [, text, value] = /^(.*?) : (.*)$/.exec(item) ?? [null, item, item];
      return { text, value };
    });
  }
  const query = fill(queryText(variable), scope, 'query', warn);
  const [, selector, label] = /^\s*label_values\(\s*(?:(.*),)?\s*(\w+)\s*\)\s*$/s.exec(query) ?? [];
  if (!label) {
    warn(`variable ${variable.name}: query ${query} is not known`);
    return [];
  }
  let values = await prometheus.labelValues(label, selector?.trim());
  if (variable.regex) {
    const [, body, flags] = /^\/(.*)\/(\w*)$/s.exec(variable.regex) ?? [null, variable.regex, ''];
    values = values.flatMap(value => {
      const found = new RegExp(body, flags.replace('g', '')).exec(value);
      return found ? [found.groups?.value ?? found[1] ?? value] : [];
    });
  }
  return [...new Set(values)].sort().map(value => ({ text: value, value }));
};

const isAll = value => value === '$__all' || value === 'All' || Array.isArray(value) && value.length === 1 && isAll(value[0]);
const CONSTANTS = { constant: 'constant', textbox: 'textbox' };

// All variables of a dashboard in order, since one may use those before it. `given` is what --var says.
export const variables = async (dashboard, given, prometheus, warn) => {
  const scope = new Map();
  for (const variable of dashboard.templating?.list ?? []) {
    const { name, type, includeAll = false, multi = false, allValue, current } = variable;
    const several = includeAll || multi;
    if (type === 'datasource') {
      scope.set(name, { name, values: ['prometheus'], text: 'Prometheus', several: false, hide: variable.hide });
      continue;
    }
    if (type === 'interval') {
      const value = given.get(name)?.[0] ?? current?.value ?? variable.query.split(',')[0];
      scope.set(name, { ...constant(name, value)[1], label: variable.label, hide: variable.hide });
      continue;
    }
    if (type in CONSTANTS) {
      const value = given.get(name)?.[0] ?? current?.value ?? queryText(variable);
      scope.set(name, { name, values: [value], text: value, several: false, label: variable.label, hide: type === 'constant' ? 2 : variable.hide });
      continue;
    }
    if (!['query', 'custom'].includes(type)) {
      warn(`variable ${name}: type ${type} is not known`);
      continue;
    }
    const known = await options(variable, scope, prometheus, warn);
    const chosen = given.get(name) ?? [current?.value ?? []].flat();
    const all = includeAll && (!chosen.length || isAll(chosen));
    const values = all ? known.map(one => one.value) : chosen.length ? chosen : known.slice(0, 1).map(one => one.value);
    scope.set(name, {
      name,
      several,
      values: values.length ? values : [''],
      text: all ? 'All' : values.map(value => known.find(one => one.value === value)?.text ?? value).join(' + '),
      raw: all && allValue ? allValue : undefined,
      label: variable.label,
      hide: variable.hide,
    });
  }
  return scope;
};
