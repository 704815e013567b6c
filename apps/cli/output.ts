import { Option } from 'commander';
import { stringify } from 'yaml';

/** `table` and `wide` are for people and may change; `json` and `yaml` are what the REST API answers. */
const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type OutputFormat = (typeof FORMATS)[number];

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how it is shown').choices([...FORMATS]).default('table');
}

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

/** Names come from upstreams: what would move the cursor is shown as what it is. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, '?');
}
