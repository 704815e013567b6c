import { readFileSync } from 'node:fs';
import { CLIENTS, DOCUMENT, documentOf, type Row } from './document.js';

describe('docs/clients.md', () => {
  const text = readFileSync(DOCUMENT, 'utf8');
  const rows = rowsOf(text);

  it('is what a run of the matrix has written', () => expect(documentOf(rows)).toBe(text));

  it('holds every client, with the version that ran and how it went', () => {
    expect(rows.map(({ client, addressing }) => [client, addressing])).toEqual(
      CLIENTS.map(({ name, addressing }) => [name, addressing]),
    );
    for (const row of rows) {
      expect(row.version).toMatch(/^\d+\.\d+|^unknown$/);
      expect([row.client, row.standalone, row.distributed]).toEqual([row.client, 'passed', 'passed']);
    }
  });
});

function rowsOf(document: string): Row[] {
  const lines = document.split('\n').filter((each) => each.startsWith('| '));
  return lines.slice(2).map((each) => {
    const [client = '', version = '', addressing = '', standalone = '', distributed = ''] = each
      .slice(2, -2)
      .split(' | ');
    return { client, version, addressing, standalone, distributed };
  });
}
