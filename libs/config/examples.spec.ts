import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from './index.js';

const examplesOf = (page: string) =>
  [...readFileSync(join(__dirname, '../../docs', page), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    ([, text = '']) => text,
  );
const examples = [...examplesOf('upstreams.md'), ...examplesOf('access.md')];
/** What the files of some names have to hold. */
const CONTENTS: Readonly<Record<string, string>> = {
  htpasswd: 'ci:$2y$05$dUUuXfoxidRfRlGZ4LPA5OoVhVdCsN8yxws17VEw3YdnAezLBPYVG',
  'token-key': 'k'.repeat(64),
};

describe('the examples of docs/upstreams.md and docs/access.md', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-examples-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('are there', () => expect(examples.length).toBeGreaterThan(16));

  it.each(
    examples.map((text) => [
      text
        .split('\n')
        .find((line) => /name:|Config:|fresh:|clientAuth:/.test(line))
        ?.trim(),
      text,
    ]),
  )('loads: %s', (_, text = '') => {
    const here = text.replace(/\/etc\/ociregistry\/([\w.-]+)/g, (_all, name) => {
      writeFileSync(join(directory, name), CONTENTS[name] ?? 'content');
      return join(directory, name);
    });
    const file = join(directory, 'config.yaml');
    writeFileSync(file, here);
    const names = [...text.matchAll(/FromEnv: (\w+)/g)].map(([, name]) => [name, 'secret']);
    const { warnings } = load({ file, env: Object.fromEntries(names) });
    expect(warnings.filter((warning) => !/travel in the clear/.test(warning))).toEqual([]);
  });
});
