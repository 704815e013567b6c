import { mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spoolBytes } from './spool-bytes.js';

describe('spoolBytes', () => {
  const root = mkdtempSync(join(tmpdir(), 'ociregistry-spool-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('takes a number as it is, a percentage of the disk, and by default no more than half of what is free', () => {
    const directory = join(root, 'a/spool');
    const { bsize, blocks } = statfsSync(root);
    expect(spoolBytes(123_456_789, directory)).toBe(123_456_789);
    expect(spoolBytes({ percent: 50 }, directory)).toBe(Math.max(64 * 2 ** 20, Math.floor((bsize * blocks) / 2)));
    expect(statSync(directory).isDirectory()).toBe(true);
    const bytes = spoolBytes(undefined, directory);
    expect(bytes).toBeGreaterThanOrEqual(64 * 2 ** 20);
    expect(bytes).toBeLessThanOrEqual(20 * 2 ** 30);
  });
});
