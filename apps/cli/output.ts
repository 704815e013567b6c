import { Option } from 'commander';
import { stringify } from 'yaml';

/** `table` and `wide` are for people and may change; `json` and `yaml` are what the REST API answers. */
const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type OutputFormat = (typeof FORMATS)[number];

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how it is shown').choices([...FORMATS]).default('table');
}

const STRETCH = 1000;

export interface Column<T> {
  readonly header: string;
  value(item: T): string;
  readonly align?: 'right';
  /** Only in wide tables. */
  readonly wide?: boolean;
}

/** Columns as wide as what stands in them, two spaces apart; ends with a line end. */
export function table<T>(
  items: readonly T[],
  columns: readonly Column<T>[],
  { wide = false, header = true }: { readonly wide?: boolean; readonly header?: boolean } = {},
): string {
  const shown = columns.filter((column) => wide || !column.wide);
  const rows = items.map((item) => shown.map((column) => printable(column.value(item))));
  const lines = header ? [shown.map((column) => column.header), ...rows] : rows;
  const widths = shown.map((_, at) => Math.max(0, ...lines.map((line) => line[at]!.length)));
  const padded = lines.map((line) =>
    line
      .map((cell, at) => (shown[at]!.align === 'right' ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
  return padded.map((line) => `${line}\n`).join('');
}

/** What was answered, in the format asked for; `text` makes it for people. */
export function formatted(answer: unknown, format: OutputFormat, text: (wide: boolean) => string): string {
  if (format === 'json') return `${JSON.stringify(answer, null, 2)}\n`;
  if (format === 'yaml') return stringify(answer, { aliasDuplicateObjects: false });
  return text(format === 'wide');
}

/** A list as it comes, so that its length costs no memory; columns are as wide as the rows of one stretch need. */
export async function printList<T>(
  items: AsyncIterable<T>,
  columns: readonly Column<T>[],
  { format, header }: { readonly format: OutputFormat; readonly header: boolean },
  out: (text: string) => void,
): Promise<void> {
  let stretch: T[] = [];
  let printed = 0;
  const flush = () => {
    const first = printed === 0;
    printed += stretch.length;
    if (format === 'json') {
      out(`${stretch.map((item, at) => `${first && at === 0 ? '[' : ','}\n  ${JSON.stringify(item)}`).join('')}`);
    } else if (format === 'yaml') {
      if (stretch.length > 0) out(stringify(stretch, { aliasDuplicateObjects: false }));
    } else out(table(stretch, columns, { wide: format === 'wide', header: header && first }));
    stretch = [];
  };
  for await (const item of items) if (stretch.push(item) >= STRETCH) flush();
  if (stretch.length > 0 || printed === 0) flush();
  if (format === 'json') out(printed === 0 ? '[]\n' : '\n]\n');
  else if (format === 'yaml' && printed === 0) out('[]\n');
}

/** Names come from upstreams: what would move the cursor is shown as what it is. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, '?');
}
