import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { facts, holdings, inventory, keeping, lists, lookups, pruning, pulls, upstreams } from './index.js';

const file = join(__dirname, 'statements.sql');
const statements = [lookups, facts, holdings, inventory, keeping, lists, pruning, pulls, upstreams].flatMap((group) =>
  Object.values(group),
);

describe('statements', () => {
  it('are committed as the SQL that is sent; UPDATE_SQL=1 writes them anew', () => {
    const text = statements
      .map((statement) => `-- ${statement.name}\n${statement.text};\n`)
      .sort()
      .join('\n');
    if (process.env.UPDATE_SQL) writeFileSync(file, text);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('have names of their own that PostgreSQL does not cut', () => {
    const names = statements.map((statement) => statement.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => Buffer.byteLength(name) > 63)).toEqual([]);
  });
});
