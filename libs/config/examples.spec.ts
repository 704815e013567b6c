import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from './index.js';

const page = readFileSync(join(__dirname, '../../docs/upstreams.md'), 'utf8');
const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);

describe('the examples of docs/upstreams.md', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-examples-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('are there', () => expect(examples.length).toBeGreaterThan(12));

  it.each(
    examples.map((text) => [
      text
        .split('\n')
        .find((line) => /name:|Config:|fresh:/.test(line))
        ?.trim(),
      text,
    ]),
  )('loads: %s', (_, text = '') => {
    const here = text.replace(/\/etc\/ociregistry\/([\w.-]+)/g, (_all, name) => {
      writeFileSync(join(directory, name), 'content');
      return join(directory, name);
    });
    const file = join(directory, 'config.yaml');
    writeFileSync(file, here);
    const names = [...text.matchAll(/FromEnv: (\w+)/g)].map(([, name]) => [name, 'secret']);
    const { warnings } = load({ file, env: Object.fromEntries(names) });
    expect(warnings).toEqual([]);
  });
});
