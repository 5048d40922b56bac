// Draws Grafana dashboards with what a Prometheus server answers, as pictures.
//
//   node dashboards.mjs --prometheus URL --out DIR [--time UNIX] [--range 6h] [--width 1600] [--scale 1] [--theme light]
//                       [--var name=value …] [--scrape-interval 15s] [--strict] dashboard.json …
//
// Each becomes DIR/<uid>.png. What is not drawn as Grafana would is told on standard error, with --strict by exit code 1 too;
// what would be out of sight in Grafana as well is told alongside.

import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import puppeteer from 'puppeteer-core';

import { arrange } from './dashboards/arrange.mjs';
import { tellUnknown } from './dashboards/known.mjs';
import { Prometheus, panelFrames, regions } from './dashboards/queries.mjs';
import { transform } from './dashboards/transform.mjs';
import { duration, fill, intervals, variables } from './dashboards/variables.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prometheus: { type: 'string' },
    out: { type: 'string' },
    time: { type: 'string' },
    range: { type: 'string' },
    width: { type: 'string', default: '1600' },
    scale: { type: 'string', default: '1' },
    theme: { type: 'string', default: 'dark' },
    var: { type: 'string', multiple: true, default: [] },
    'scrape-interval': { type: 'string', default: '15s' },
    strict: { type: 'boolean', default: false },
  },
});
if (!positionals.length || !options.prometheus || !options.out || !['dark', 'light'].includes(options.theme)) {
  console.error('usage: node dashboards.mjs --prometheus URL --out DIR [options] dashboard.json …');
  process.exit(2);
}
const width = Number(options.width);
const to = options.time ? Number(options.time) : Math.floor(Date.now() / 1000);
const given = new Map();
for (const one of options.var) {
  const [name, value] = [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)];
  given.set(name, [...(given.get(name) ?? []), value]);
}

let told = 0;
const tell = text => {
  told += 1;
  console.error(text);
};

const zoneOf = ({ timezone }) =>
  timezone === 'utc' ? 'UTC' : /\//.test(timezone ?? '') ? timezone : Intl.DateTimeFormat().resolvedOptions().timeZone;
const spoken = range => {
  const [, count, unit] = /^(\d+)([smhdw])$/.exec(range) ?? [];
  const name = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' }[unit];
  return name ? `Last ${count} ${name}${count === '1' ? '' : 's'}` : `Last ${range}`;
};

// Everything that the page needs to draw a dashboard.
const read = async (file, dashboard) => {
  const say = text => tell(`${file}: ${text}`);
  const asked = options.range ?? /^now-(\w+)$/.exec(dashboard.time?.from ?? 'now-6h')?.[1];
  if (!asked) throw new Error(`time range ${dashboard.time.from} is not known; use --range`);
  const from = to - duration(asked);
  const prometheus = new Prometheus(options.prometheus, { from, to });
  const scope = await variables(dashboard, given, prometheus, say);
  for (const name of given.keys()) if (!scope.has(name)) say(`there is no variable ${name}`);
  const annotations = await regions(dashboard, { scope, from, to, prometheus, say });

  const panels = await Promise.all(
    arrange(dashboard.panels ?? []).map(async ({ panel, box }) => {
      const aside = text => say(`panel ${panel.title || panel.type}: ${text}`);
      tellUnknown(panel, aside);
      const { step, scope: times } = intervals({
        range: to - from,
        scrape: duration(options['scrape-interval']),
        points: panel.maxDataPoints ?? Math.max(100, Math.round((width * box.w) / 24)),
        least: panel.interval,
      });
      const whole = new Map([...scope, ...times]);
      const drawn = { ...panel, title: fill(panel.title ?? '', whole, 'text', aside) };
      if (panel.type === 'row') return { box, panel: drawn };
      try {
        const frames = await panelFrames(panel, whole, step, prometheus, aside);
        return { box, panel: drawn, frames: transform(frames, panel.transformations, aside) };
      } catch (error) {
        aside(error.message);
        return { box, panel: drawn, frames: [] };
      }
    }),
  );
  return {
    from,
    to,
    panels,
    annotations,
    theme: options.theme,
    zone: zoneOf(dashboard),
    title: dashboard.title,
    variables: [...scope.values()]
      .filter(({ hide }) => hide !== 2)
      .map(({ name, label, text }) => ({ label: label || name, text })),
    range: spoken(asked),
  };
};

// JSON has no NaN and no infinities.
const written = (_, value) => (typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value);

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // The page is a file and imports its modules from files.
  args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--allow-file-access-from-files'],
});
process.on('exit', () => browser.process()?.kill('SIGKILL'));
mkdirSync(options.out, { recursive: true });

for (const file of positionals) {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'));
  const scene = await read(file, dashboard).catch(error => {
    console.error(`${file}: ${error.message}`);
    process.exit(1);
  });
  const page = await browser.newPage();
  page.on('pageerror', error => tell(`${file}: ${error}`));
  page.on('requestfailed', request => tell(`${file}: ${request.url()} is not there`));
  await page.setViewport({ width, height: 800, deviceScaleFactor: Number(options.scale) });
  await page.goto(new URL('dashboards/page.html', import.meta.url).href, { waitUntil: 'load' });
  const { notes, empty } = await page.evaluate(text => globalThis.drawDashboard(text), JSON.stringify(scene, written));
  for (const { wrong, text } of notes) (wrong ? tell : console.error)(`${file}: ${text}`);
  const path = `${options.out}/${dashboard.uid}.png`;
  const picture = await page.screenshot({ path, fullPage: true });
  await page.close();
  console.log(`${path}: ${Math.round(picture.length / 1000)} kB, ${empty} panels without data`);
}
await browser.close();
process.exit(options.strict && told ? 1 : 0);
