import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(__dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

/** Names in the tables of the page; a histogram's series too. */
function documented(): Set<string> {
  const rows = [...read('docs/metrics.md').matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
  return new Set(
    rows.flatMap(([, name = '', type]) =>
      type === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
}

/** Everything in an expression, or a text, that looks like a metric of ours or of a Node process. */
const namesIn = (text: string) =>
  new Set(
    [...text.matchAll(/\b(?:ociregistry_[a-z0-9_]+|nodejs_[a-z0-9_]+|process_[a-z0-9_]+)\b/g)].map(([name]) => name),
  );

function files(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory() ? files(path) : [path];
  });
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

describe('what deploy/ has for metrics', () => {
  const dashboard = JSON.parse(read('deploy/grafana/ociregistry.json')) as { panels: Panel[] };
  const alerts = parse(read('deploy/prometheus/alerts.yml')) as {
    groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
  };

  it('uses only names that docs/metrics.md has', () => {
    const known = documented();
    expect(known.size).toBeGreaterThan(80);
    const unknown = files('deploy').flatMap((path) =>
      [...namesIn(read(path))].filter((name) => !known.has(name)).map((name) => `${path}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it('has a dashboard whose every panel asks something, and alerts that say what is wrong', () => {
    const panels = dashboard.panels.filter(({ type }) => type !== 'row');
    for (const { title, targets = [] } of panels) {
      expect([title, targets.length > 0]).toEqual([title, true]);
      for (const { expr } of targets) expect(namesIn(expr).size).toBeGreaterThan(0);
    }
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const rules = alerts.groups.flatMap((group) => group.rules);
    for (const { expr, annotations } of rules) {
      expect(expr).toMatch(/ociregistry_|up\{|nodejs_/);
      expect(annotations.summary).toBeTruthy();
    }
  });
});
