// Numbers and times as Grafana writes them, by the unit of a field. Runs in the page and in Node.

const scaled = (factor, suffixes) => (value, decimals) => {
  const step = value ? Math.min(Math.max(Math.floor(Math.log(Math.abs(value)) / Math.log(factor) + 1e-9), 0), suffixes.length - 1) : 0;
  return fixed(value / factor ** step, decimals) + suffixes[step];
};
const SHORT = ['', ' K', ' Mil', ' Bil', ' Tri'];
const rate = unit => scaled(1000, [` ${unit}`, ` K${unit}`, ` M${unit}`, ` G${unit}`]);
const seconds = (value, decimals) => {
  // Nothing is no nanoseconds.
  const size = Math.abs(value) || 1;
  const [unit, of] = [['ns', 1e-9, 1e-6], ['µs', 1e-6, 1e-3], ['ms', 1e-3, 1], ['s', 1, 60], ['mins', 60, 3600], ['hours', 3600, 86400],
    ['days', 86400, 604800], ['weeks', 604800, 31536000], ['years', 31536000, Infinity]].find(([, , below]) => size < below);
  return `${fixed(value / of, decimals)} ${unit}`;
};

const UNITS = {
  short: scaled(1000, SHORT),
  sishort: scaled(1000, ['', ' K', ' M', ' G', ' T']),
  locale: (value, decimals) => value.toLocaleString('en-US', { maximumFractionDigits: decimals }),
  string: String,
  percent: (value, decimals) => `${fixed(value, decimals)}%`,
  percentunit: (value, decimals) => `${fixed(value * 100, decimals)}%`,
  s: seconds,
  ms: (value, decimals) => seconds(value / 1000, decimals),
  bytes: scaled(1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']),
  decbytes: scaled(1000, [' B', ' kB', ' MB', ' GB', ' TB']),
  ops: rate('ops/s'), reqps: rate('req/s'), rps: rate('rd/s'), wps: rate('wr/s'), cps: rate('c/s'), eps: rate('evt/s'), mps: rate('msg/s'),
  opm: rate('ops/m'), reqpm: rate('req/m'), cpm: rate('c/m'),
  bool: value => (value ? 'True' : 'False'),
  bool_yes_no: value => (value ? 'Yes' : 'No'),
  bool_on_off: value => (value ? 'On' : 'Off'),
  dtdurations: value => parts(value, 2).map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`).join(', ') || '0 seconds',
  dateTimeAsIso: (value, _, { zone }) => dateTime(value, zone),
  dateTimeFromNow: (value, _, { to }) => fromNow(value / 1000 - to),
};

export const knowsUnit = unit => ['', 'none'].includes(unit) || unit in UNITS || /^(suffix|prefix):/.test(unit);

// `time` has what the units of time need: the zone, and the end of the dashboard's range as `to`.
export const format = (value, unit, decimals, time) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  const [, side, text] = /^(suffix|prefix):(.*)$/.exec(unit ?? '') ?? [];
  if (side) return side === 'suffix' ? fixed(value, decimals) + text : text + fixed(value, decimals);
  return (UNITS[unit] ?? fixed)(value, decimals, time);
};

// Without decimals as many as tell two or three digits, as Grafana takes them.
function fixed(value, decimals) {
  if (decimals === undefined || decimals === null) {
    const most = 1 - Math.floor(Math.log10(Math.abs(value)));
    decimals = value % 1 === 0 ? 0 : Math.min(Math.max(most + (Math.abs(value) * 10 ** most > 2.25 ? 1 : 0), 0), 12);
  }
  return value.toFixed(decimals);
}

const PARTS = [['year', 31536000], ['month', 2628000], ['week', 604800], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
function parts(value, most) {
  const found = [];
  let rest = Math.round(Math.abs(value));
  for (const [unit, size] of PARTS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count && found.length < most) found.push([count, unit]);
  }
  return found;
}

// Up to how many seconds which unit is told.
const NEAR = [[45, 1, ''], [2700, 60, 'minute'], [79200, 3600, 'hour'], [2246400, 86400, 'day'], [27648000, 2592000, 'month'], [Infinity, 31536000, 'year']];
function fromNow(offset) {
  const [, size, unit] = NEAR.find(([below]) => Math.abs(offset) < below);
  const number = Math.max(Math.round(Math.abs(offset) / size), 1);
  const words = !unit ? 'a few seconds' : number === 1 ? `${unit === 'hour' ? 'an' : 'a'} ${unit}` : `${number} ${unit}s`;
  return offset > 0 ? `in ${words}` : `${words} ago`;
}

const inZone = (milliseconds, zone) => Object.fromEntries(new Intl.DateTimeFormat('en-GB', {
  timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
}).formatToParts(milliseconds).map(({ type, value }) => [type, value]));

export const dateTime = (milliseconds, zone) => {
  const at = inZone(milliseconds, zone);
  return `${at.year}-${at.month}-${at.day} ${at.hour}:${at.minute}:${at.second}`;
};

// A tick of a time axis whose ticks are `step` seconds apart.
export const tick = (secondsAt, step, zone) => {
  const at = inZone(secondsAt * 1000, zone);
  if (step >= 86400) return `${at.month}/${at.day}`;
  return step >= 60 ? `${at.hour}:${at.minute}` : `${at.hour}:${at.minute}:${at.second}`;
};
