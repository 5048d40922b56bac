// Looks at the status page of a running exporter in a real browser.
//
//   node status.mjs <url> [--apps N] [--expect file.json] [--within MS] [--screenshot dir]
//
// One line a check; exit code 1 if any failed. `--expect` is a JSON list of texts that must be on the page, `--within`
// how long it may take until everything is there and painted.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

import puppeteer from 'puppeteer-core';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    apps: { type: 'string' },
    expect: { type: 'string' },
    within: { type: 'string' },
    screenshot: { type: 'string' },
  },
});
if (positionals.length !== 1) {
  console.error('usage: node status.mjs <url> [--apps N] [--expect file.json] [--within MS] [--screenshot dir]');
  process.exit(2);
}
const url = new URL(positionals[0]).href;
const expected = options.expect ? JSON.parse(readFileSync(options.expect, 'utf8')) : [];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Axe looks at every element; a few hundred apps tell no more than the first ones.
const AXE_APPS = 40;
const DESKTOP = { width: 1200, height: 900 };
const PHONE = { width: 360, height: 740, isMobile: true, hasTouch: true };

let failed = 0;
const check = async (name, run) => {
  try {
    const detail = await run();
    console.log(`ok    ${name}${detail ? `: ${detail}` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
};
const must = (condition, text) => {
  if (!condition) throw new Error(text);
};
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars'],
});
process.on('exit', () => browser.process()?.kill('SIGKILL'));

// What no page may do, over all that are opened.
const strangers = new Set();
const complaints = [];

const open = async ({ viewport = DESKTOP, scheme = 'light', scripts = true } = {}) => {
  const page = await browser.newPage();
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.setJavaScriptEnabled(scripts);
  page.quiet = false;
  page.on('request', request => {
    const to = request.url().split('#')[0];
    if (to !== url && !to.startsWith('data:')) strangers.add(to);
  });
  page.on('console', message => {
    if (!page.quiet && ['error', 'warn'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', error => complaints.push(String(error)));
  await page.evaluateOnNewDocument(() => {
    addEventListener('securitypolicyviolation', event => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    // A frame after all is parsed: what comes after it has been painted.
    addEventListener('DOMContentLoaded', () => requestAnimationFrame(() => setTimeout(() => {
      globalThis.paintedAt = performance.now();
    })));
  });
  const response = await page.goto(url, { waitUntil: 'load' });
  must(response.ok(), `${url} answers ${response.status()}`);
  page.size = (await response.buffer()).length;
  page.headers = response.headers();
  return page;
};

const states = page => page.evaluate(() => [...document.querySelectorAll('.app')].map(app => ({
  id: app.id,
  name: app.querySelector('h3').textContent,
  words: app.querySelector('.state').textContent,
  reports: [...app.querySelectorAll('.times tbody :is(th, .state)')].map(cell => cell.textContent).join(' '),
})));
// Everything opened, and what is out of sight laid out too, as a reader could have it.
const openAll = page => page.evaluate(() => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  for (const app of document.querySelectorAll('.app')) app.style.contentVisibility = 'visible';
});
const text = async page => {
  await openAll(page);
  return page.evaluate(() => document.body.innerText);
};
const shoot = async (page, name) => {
  if (!options.screenshot) return;
  mkdirSync(options.screenshot, { recursive: true });
  // Pictures of a whole page are taken without scrolling, and what was never near the screen would stay blank.
  await page.evaluate(() => {
    for (const app of [...document.querySelectorAll('.app')].slice(0, 100)) app.style.contentVisibility = 'visible';
  });
  const fullPage = await page.evaluate(() => document.documentElement.scrollHeight < 6000);
  await page.screenshot({ path: `${options.screenshot}/${name}.png`, fullPage });
};

await check('all is there and painted', async () => {
  const runs = [];
  // The first page of a browser pays for the browser's own start.
  await (await open()).close();
  let page;
  // What else runs on the machine is not the page's fault: it may try again while it is too slow.
  const isGood = () => options.within === undefined || Math.min(...runs) <= Number(options.within);
  for (let run = 0; run < 3 || (run < 20 && !isGood()); run += 1) {
    await page?.close();
    page = await open();
    await page.waitForFunction('globalThis.paintedAt');
    const [painted, first] = await page.evaluate(() =>
      [globalThis.paintedAt, performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity]);
    runs.push(Math.max(painted, first));
  }
  const apps = await page.$$eval('.app', all => all.length);
  const times = runs.map(time => time.toFixed(0)).join(', ');
  const { size } = page;
  await page.close();
  must(options.apps === undefined || apps === Number(options.apps), `${apps} apps, expected ${options.apps}`);
  must(isGood(), `not within ${options.within} ms: ${times} ms`);
  return `${apps} apps, ${size} bytes, ${times} ms from navigation`;
});

await check('texts that were expected', async () => {
  const page = await open();
  const visible = await text(page);
  await page.close();
  const missing = expected.filter(part => !visible.includes(part));
  must(!missing.length, `not on the page: ${missing.map(part => JSON.stringify(part)).join(', ')}`);
  return `${expected.length}`;
});

await check('complete without scripts', async () => {
  let [plain, a, b] = [];
  // A report may change its state between the two.
  for (let attempt = 0; attempt < 5 && (!a || JSON.stringify(a) !== JSON.stringify(b)); attempt += 1) {
    await plain?.close();
    plain = await open({ scripts: false });
    const scripted = await open();
    [a, b] = [await states(plain), await states(scripted)];
    await scripted.close();
  }
  await shoot(plain, 'no-scripts');
  const visible = await text(plain);
  await plain.close();
  must(JSON.stringify(a) === JSON.stringify(b), 'other apps or states than with scripts');
  const missing = new Set([...expected, ...a.flatMap(app => [app.name, app.words])].filter(part => !visible.includes(part)));
  must(!missing.size, `not in the text: ${[...missing].join(', ')}`);
  must(!/Search by/.test(visible), 'a search field that does nothing');
  return `${a.length} apps`;
});

for (const [name, settings] of [
  ['light', {}],
  ['dark', { scheme: 'dark' }],
  ['phone, light', { viewport: PHONE }],
  ['phone, dark', { viewport: PHONE, scheme: 'dark' }],
]) {
  await check(`axe, ${name}`, async () => {
    const page = await open(settings);
    await shoot(page, name.replace(', ', '-'));
    await page.evaluate(most => {
      for (const app of [...document.querySelectorAll('.app')].slice(most)) app.remove();
      for (const link of document.querySelectorAll('#problems a')) {
        if (!document.getElementById(link.hash.slice(1))) link.parentNode.remove();
      }
      for (const section of document.querySelectorAll('section')) if (!section.querySelector('.app')) section.remove();
    }, AXE_APPS);
    await page.evaluate(axe);
    const broken = [];
    let rules = 0;
    let unsure = new Set();
    // As it opens, and with everything opened.
    for (const round of ['', ' (all opened)']) {
      if (round) await openAll(page);
      const result = await page.evaluate(() => globalThis.axe.run(document));
      rules = Math.max(rules, result.passes.length);
      for (const one of result.incomplete) unsure.add(`${one.id} (${one.nodes.length}: ${one.nodes[0].any[0]?.data?.messageKey ?? ''} ${one.nodes[0].html.slice(0, 80)})`);
      for (const { id, help, nodes } of result.violations) broken.push(`${id}${round}: ${help}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
    }
    await page.close();
    must(!broken.length, `\n        ${broken.join('\n        ')}`);
    return `no violation of ${rules} rules that apply${unsure.size ? `; not decided: ${[...unsure].join(', ')}` : ''}`;
  });
}

await check('a phone of 360 px does not scroll sideways', async () => {
  const page = await open({ viewport: PHONE });
  await openAll(page);
  const [wide, narrow] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  await page.close();
  must(narrow === 360 && wide <= 360, `${wide} px wide in ${narrow} px`);
});

await check('search', async () => {
  const page = await open();
  try {
    const field = await page.$('#find');
    if (!field) return 'none, as there are few apps';
    must(await field.isVisible(), 'the field is not shown');
    const counted = async typed => {
      await field.evaluate(one => { one.value = ''; });
      await field.type(typed);
      return page.evaluate(() => {
        const apps = [...document.querySelectorAll('.app')];
        const shown = apps.filter(app => app.checkVisibility());
        return [shown.length, apps.length, document.getElementById('count').textContent, shown.map(app => app.id)];
      });
    };
    const names = await page.$$eval('.app h3', all => all.map(one => one.textContent));
    const [shown, all, count, ids] = await counted(names.at(-1));
    must(shown >= 1 && shown < all, `"${names.at(-1)}" leaves ${shown} of ${all} apps`);
    must(count === `Shows ${shown} of ${all} apps.`, `says ${JSON.stringify(count)}, shows ${shown} of ${all}`);
    must(ids.includes(await page.evaluate(() => [...document.querySelectorAll('.app')].at(-1).id)), 'hides what was searched');
    const [none, , nothing] = await counted('no such app anywhere');
    must(none === 0 && nothing === `Shows 0 of ${all} apps.`, `${none} apps of that name; says ${nothing}`);
    const failing = await page.$$eval('.app.failing', apps => apps.length);
    const [found] = await counted('FAILING');
    must(found === failing, `"FAILING" finds ${found} of ${failing}`);
    await shoot(page, 'search');
    const started = Date.now();
    await counted('s');
    return `${shown} of ${all}; ${failing} failing; a letter takes ${Date.now() - started} ms`;
  } finally {
    await page.close();
  }
});

await check('refreshes by itself', async () => {
  const page = await open();
  try {
    const had = await page.evaluate(() => {
      globalThis.sameDocument = true;
      // One more opened and one more closed than the server says, where there are such.
      const by = state => [...document.querySelectorAll(`.app${state}`)].at(-1);
      const [opened, closed] = [by(':not([open])'), by('[open]')];
      opened?.querySelector('summary').click();
      closed?.querySelector('summary').click();
      const find = document.getElementById('find');
      (find ?? document.querySelector('.app summary')).focus();
      if (!find) getSelection().selectAllChildren(document.querySelector('.app h3'));
      globalThis.chatter = 0;
      new MutationObserver(all => { globalThis.chatter += all.length; }).observe(document.body, { subtree: true, childList: true, characterData: true });
      globalThis.spoken = 0;
      for (const one of document.querySelectorAll('[role=status]')) {
        new MutationObserver(all => { globalThis.spoken += all.length; }).observe(one, { subtree: true, childList: true, characterData: true });
      }
      return { now: document.getElementById('now').textContent, opened: opened?.id, closed: closed?.id, searches: !!find };
    });
    let word = '';
    if (had.searches) {
      word = await page.$$eval('.app h3', all => all.at(-1).textContent.slice(0, -1));
      await page.focus('#find');
      await page.keyboard.type(word);
    }
    const look = () => page.evaluate(({ opened, closed }) => ({
      same: globalThis.sameDocument === true,
      opened: opened === undefined || document.getElementById(opened).open,
      closed: closed === undefined || !document.getElementById(closed).open,
      typed: document.getElementById('find')?.value ?? '',
      focus: document.activeElement.id || document.activeElement.localName,
      selected: String(getSelection()),
      shown: [...document.querySelectorAll('.app:not([hidden])')].length,
      count: document.getElementById('count')?.textContent,
      scrolled: scrollY,
    }), had);
    await page.evaluate(() => { scrollTo(0, 60); globalThis.spoken = 0; });
    const before = await look();
    const started = Date.now();
    await page.waitForFunction(then => document.getElementById('now').textContent !== then, { timeout: 30000, polling: 100 }, had.now)
      .catch(() => { throw new Error('the page does not change in 30 s'); });
    const took = Date.now() - started;
    await sleep(300);
    const after = await look();
    must(after.same, 'the document was loaded again');
    must(after.opened && after.closed, 'what was opened or closed by hand is no longer');
    for (const what of Object.keys(before)) {
      must(after[what] === before[what], `${what} was ${JSON.stringify(before[what])}, is ${JSON.stringify(after[what])}`);
    }
    const spoken = await page.evaluate(() => globalThis.spoken);
    must(spoken === 0, `a live region was written to ${spoken} times`);
    // And what a refresh costs, without the server's part.
    const cost = await page.evaluate(async () => {
      const began = performance.now();
      const then = document.getElementById('now').textContent;
      await new Promise(resolve => setTimeout(resolve, 1100));
      const from = performance.now();
      document.dispatchEvent(new Event('visibilitychange'));
      while (document.getElementById('now').textContent === then && performance.now() - began < 9000) {
        await new Promise(resolve => setTimeout(resolve, 5));
      }
      await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
      return performance.now() - from;
    });
    return `after ${(took / 1000).toFixed(1)} s; ${had.searches ? `"${word}" still shows ${after.shown}` : 'no search'}; ${cost.toFixed(0)} ms each`;
  } finally {
    await page.close();
  }
});

await check('takes over whatever changed', async () => {
  const page = await open();
  try {
    const html = await page.evaluate(async () => (await fetch(location.pathname, { cache: 'no-store' })).text());
    // An app gone, one moved, one new, and one that has begun to fail.
    const [changed, began] = await page.evaluate(source => {
      const other = new DOMParser().parseFromString(source, 'text/html');
      const apps = [...other.querySelectorAll('.app')];
      const copy = apps[0].cloneNode(true);
      copy.id = 'one-more';
      copy.querySelector('h3').textContent = 'one more';
      apps[0].parentNode.append(copy);
      if (apps.length > 1) apps[1].parentNode.append(apps[1]);
      if (apps.length > 2) apps[0].remove();
      const fails = apps.at(-1);
      fails.className = 'app failing';
      fails.open = true;
      fails.querySelector('.state').textContent = 'all reports are failing';
      fails.querySelector('.times tbody').insertAdjacentHTML('beforeend',
        '<tr class="error"><td colspan="5"><p><b>timeout</b> for 3 s: <code>too late</code></p></td></tr>');
      if (!other.getElementById('problems')) {
        other.getElementById('overall').insertAdjacentHTML('afterend', '<div id="problems"><h2>Failing</h2><ul><li><a href="#one-more">one more</a></li></ul></div>');
      }
      other.title = 'another title';
      return [`<!DOCTYPE html>${other.documentElement.outerHTML}`, fails.id];
    }, html);
    let answer;
    await page.setRequestInterception(true);
    page.on('request', request => request.respond({ contentType: 'text/html; charset=utf-8', body: answer }));
    for (const [name, body] of [['the changed page', changed], ['the page as it was', html], ['the changed page again', changed]]) {
      answer = body;
      const mark = `mark ${name}`;
      // So that it is known when it was taken over.
      answer = answer.replace(/(<span id="now">)[^<]*/, `$1${mark}`);
      await page.evaluate(() => { document.dispatchEvent(new Event('visibilitychange')); });
      await page.waitForFunction(text => document.getElementById('now').textContent === text, { timeout: 15000, polling: 50 }, mark)
        .catch(() => { throw new Error(`${name} is not taken over`); });
      const differs = await page.evaluate(source => {
        const plain = root => {
          const copy = root.cloneNode(true);
          copy.querySelector('#search')?.remove();
          for (const one of copy.querySelectorAll('[hidden]')) one.hidden = false;
          return copy.outerHTML;
        };
        const [is, should] = [plain(document.querySelector('main')), plain(new DOMParser().parseFromString(source, 'text/html').querySelector('main'))];
        if (is === should) return '';
        let at = 0;
        while (is[at] === should[at]) at += 1;
        return `${is.slice(at - 60, at + 60)} instead of ${should.slice(at - 60, at + 60)}`;
      }, answer);
      must(!differs, `${name} became ${differs}`);
    }
    must(await page.$eval(`[id="${began}"]`, app => app.open), 'an app that has begun to fail is not opened');
    must(await page.title() === 'another title', 'the title stays');
  } finally {
    await page.close();
  }
});

await check('says when there is no answer', async () => {
  const page = await open();
  try {
    page.quiet = true;
    let broken = true;
    await page.setRequestInterception(true);
    page.on('request', request => (broken ? request.abort('connectionrefused') : request.continue()));
    const noted = () => page.$eval('#note', note => note.textContent);
    // As if one came back to the tab, which asks at once.
    const back = () => page.evaluate(() => { document.dispatchEvent(new Event('visibilitychange')); });
    const until = (what, expression) => page.waitForFunction(expression, { timeout: 15000, polling: 50 })
      .catch(() => { throw new Error(what); });
    await back();
    await until('nothing is said', "document.getElementById('note').textContent !== ''");
    const said = await noted();
    must(/^No answer since \d\d:\d\d:\d\d UTC; showing the last state\.$/.test(said), `says ${said}`);
    must(await page.$eval('.app', app => app.checkVisibility()), 'what was there is gone');
    await shoot(page, 'no-answer');
    broken = false;
    await back();
    await until('still says so after an answer', "document.getElementById('note').textContent === ''");
    return said;
  } finally {
    await page.close();
  }
});

await check('asks only for itself', async () => {
  must(!strangers.size, `also ${[...strangers].join(', ')}`);
});
await check('no error and no CSP violation', async () => {
  must(!complaints.length, [...new Set(complaints)].join('; '));
});

await browser.close();
console.log(failed ? `${failed} failed` : 'all passed');
process.exit(failed ? 1 : 0);
