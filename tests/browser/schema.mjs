// Checks the dashboards against Grafana's own types of a dashboard and of each kind of panel (npm's @grafana/schema), for each
// version of Grafana that the project names.
//
//     node schema.mjs DASHBOARD.json…
//
// A field that a version does not know, or a value that it does not take, is an error.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import ts from 'typescript';

const VERSIONS = [11, 12, 13];
const PANELS = {
  bargauge: 'bargauge/panelcfg/x/BarGaugePanelCfg_types.gen',
  stat: 'stat/panelcfg/x/StatPanelCfg_types.gen',
  'state-timeline': 'statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen',
  table: 'table/panelcfg/x/TablePanelCfg_types.gen',
  timeseries: 'timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen',
};
// Stat and bar gauge have no settings of their own for a field.
const WITHOUT_FIELDS = ['bargauge', 'stat'];
// Enumerations as the text or number that JSON has for them, and optional what has a default.
const PRELUDE = `
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends (infer E)[] ? Plain<E>[] : T extends object ? { [K in keyof T]?: Plain<T[K]> } : T;
`;

// A source that gives each part of a dashboard the type that Grafana has for it.
function source(version, dashboard) {
  const lines = [PRELUDE, "import type { Dashboard, Panel, RowPanel } from '@grafana/schema';"];
  for (const [type, module] of Object.entries(PANELS)) {
    const name = type.replace('-', '');
    lines.push(`import type * as ${name} from '@grafana/schema/dist/esm/raw/composable/${module}';`);
  }
  const { panels, annotations, ...rest } = dashboard;
  // What the data source asks of an annotation is not among Grafana's own fields.
  const list = annotations.list.map(({ target, titleFormat, tagKeys, textFormat, ...annotation }) => annotation);
  const frame = { ...rest, annotations: { list } };
  const add = (type, value) => lines.push(`export const _${lines.length}: Plain<${type}> = ${JSON.stringify(value)};`);
  add('Dashboard', frame);
  for (const panel of panels) {
    const { options, fieldConfig, ...rest } = panel;
    if (panel.type === 'row') {
      add('RowPanel', panel);
      continue;
    }
    const name = panel.type.replace('-', '');
    if (!(panel.type in PANELS)) {
      throw new Error(`${panel.title}: no types for a panel of type ${panel.type}`);
    }
    const fields = WITHOUT_FIELDS.includes(panel.type) ? 'Record<string, never>' : `${name}.FieldConfig`;
    const { custom, ...defaults } = fieldConfig.defaults;
    add('Panel', { ...rest, fieldConfig: { ...fieldConfig, defaults } });
    add(`${name}.Options`, options);
    add(fields, custom ?? {});
    const key = (property) => property.id.replace(/^custom\./, '');
    for (const { properties } of fieldConfig.overrides) {
      // Grafana 11 hides a column of a table by one name, later versions by another: both stand there.
      const unknown = panel.type !== 'table' ? '' : version === 11 ? 'custom.hideFrom' : 'custom.hidden';
      const isOwn = ({ id }) => id.startsWith('custom.') && id !== unknown;
      const own = properties.filter(isOwn);
      add(fields, Object.fromEntries(own.map((property) => [key(property), property.value])));
    }
  }
  return lines.join('\n');
}

// The errors of one dashboard with the types of one version.
function problems(version, path) {
  const file = join(import.meta.dirname, `${basename(path, '.json')}-${version}.ts`);
  const text = source(version, JSON.parse(readFileSync(path, 'utf8')));
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: {
      '@grafana/schema': [`./node_modules/grafana-schema-${version}`],
      '@grafana/schema/*': [`./node_modules/grafana-schema-${version}/*`],
    },
    pathsBasePath: import.meta.dirname,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, target, ...rest) =>
    name === file ? ts.createSourceFile(name, text, target) : getSourceFile(name, target, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map((problem) => {
    const message = ts.flattenDiagnosticMessageText(problem.messageText, '\n');
    const line = problem.file && text.split('\n')[problem.file.getLineAndCharacterOfPosition(problem.start).line];
    return `Grafana ${version}, ${basename(path)}: ${message}\n  ${(line ?? '').slice(0, 200)}`;
  });
}

const paths = process.argv.slice(2);
const found = VERSIONS.flatMap((version) => paths.flatMap((path) => problems(version, path)));
found.forEach((problem) => console.log(problem));
console.log(`${paths.length} dashboards, Grafana ${VERSIONS.join(', ')}: ${found.length} problems`);
process.exitCode = found.length > 0 || paths.length === 0 ? 1 : 0;
