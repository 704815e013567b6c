import { parse } from 'yaml';
import { type Column, formatted, type OutputFormat, printList, table } from './output.js';

interface Item {
  readonly name: string;
  readonly size: number;
}

const columns: readonly Column<Item>[] = [
  { header: 'NAME', value: ({ name }) => name },
  { header: 'SIZE', value: ({ size }) => String(size), align: 'right' },
  { header: 'TWICE', value: ({ size }) => String(size * 2), wide: true },
];
const items = [
  { name: 'a', size: 1 },
  { name: 'longer', size: 12345 },
];

describe('output', () => {
  it('lines columns up', () => {
    expect(table(items, columns)).toBe('NAME     SIZE\na           1\nlonger  12345\n');
    expect(table(items, columns, { wide: true, header: false })).toBe('a           1  2\nlonger  12345  24690\n');
    expect(table([], columns)).toBe('NAME  SIZE\n');
    expect(table([], columns, { header: false })).toBe('');
  });

  it('lets no name move the cursor', () => {
    expect(table([{ name: 'a\u001b[2J\r\nb\u2028', size: 1 }], columns, { header: false })).toBe('a?[2J??b?  1\n');
  });

  it('writes what was answered as JSON and YAML, and text for people', () => {
    const answer = { items, next: null };
    expect(JSON.parse(formatted(answer, 'json', () => ''))).toEqual(answer);
    expect(parse(formatted({ one: items, two: items }, 'yaml', () => ''))).toEqual({ one: items, two: items });
    expect(formatted({ one: items, two: items }, 'yaml', () => '')).not.toMatch(/[&*]/);
    expect(formatted(answer, 'wide', (wide) => `wide ${wide}`)).toBe('wide true');
    expect(formatted(answer, 'table', (wide) => `wide ${wide}`)).toBe('wide false');
  });

  it('prints a list of any length as it comes', async () => {
    const printed = async (count: number, format: OutputFormat) => {
      let text = '';
      async function* rows() {
        for (let n = 0; n < count; n++) yield { name: `n${n}`, size: n };
      }
      await printList(rows(), columns, { format, header: true }, (part) => {
        text += part;
      });
      return text;
    };
    for (const count of [0, 1, 1000, 2500]) {
      expect(JSON.parse(await printed(count, 'json'))).toHaveLength(count);
      expect(parse(await printed(count, 'yaml'))).toHaveLength(count);
      expect((await printed(count, 'table')).split('\n')).toHaveLength(count + 2);
    }
  });
});
