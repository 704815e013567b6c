import { Failure } from '#oci';
import type { ContentFilter, Listed, Page } from '../../inventory.js';
import { InvalidPattern } from '../../patterns.js';
import { batchStatement } from '../../statements/statement.js';
import type { Connection } from '../connection.js';

/** A column that a list is sorted by, with its type for comparing it to a cursor. */
interface SortColumn {
  readonly column: string;
  readonly type: 'text' | 'bigint' | 'timestamptz' | 'bytea';
}

export interface ListSource {
  readonly name: string;
  /** A SELECT that gives every column named here. */
  readonly from: string;
  /** What is added to the rows of one page only. */
  readonly select?: string;
  readonly join?: string;
  /** Sort keys, each ending in what makes it unique. */
  readonly sorts: Readonly<Record<string, readonly SortColumn[]>>;
}

/** The statement of one list with only the conditions that are asked for, so that it is planned for those. */
export class Listing {
  private readonly conditions: string[] = [];
  private readonly values: unknown[] = [];

  constructor(private readonly source: ListSource) {}

  /** `?` stands for the value. Nothing is added for undefined. */
  where(condition: string, value: unknown): this {
    if (value === undefined) return this;
    this.conditions.push(condition.replaceAll('?', this.value(value)));
    return this;
  }

  /** What all content has in common. */
  filter(
    filter: ContentFilter,
    columns: { stored?: string; accessed?: string; size?: string; reference: string },
  ): this {
    this.where(`upstream = ?`, filter.upstream);
    this.where(`${columns.reference} ~ ANY (?::text[])`, filter.patterns);
    if (columns.size) {
      this.where(`${columns.size} >= ?::bigint`, filter.minSize).where(`${columns.size} <= ?::bigint`, filter.maxSize);
    }
    if (columns.stored) {
      this.where(`${columns.stored} < ?::timestamptz`, filter.storedBefore);
      this.where(`${columns.stored} >= ?::timestamptz`, filter.storedAfter);
    }
    if (columns.accessed) {
      this.where(`${columns.accessed} < ?::timestamptz`, filter.accessedBefore);
      this.where(`${columns.accessed} >= ?::timestamptz`, filter.accessedAfter);
    }
    return this;
  }

  async run<Row, Item>(connection: Connection, page: Page<string>, toItem: (row: Row) => Item): Promise<Listed<Item>> {
    const keys = this.source.sorts[page.sort];
    if (!keys) throw new Error(`${this.source.name} cannot be sorted by ${page.sort}`);
    if (page.after) this.after(keys, page.descending, page.after);
    const order = keys.map(({ column }) => `${column} ${page.descending ? 'DESC' : 'ASC'}`).join(', ');
    const { name, from, select = '*', join = '' } = this.source;
    const text = `
SELECT ${select}, ARRAY[${keys.map(({ column }) => `page.${column}::text`).join(', ')}] AS cursor_keys
FROM (
  SELECT * FROM (${from}) source
  ${this.conditions.length > 0 ? `WHERE ${this.conditions.join('\n    AND ')}` : ''}
  ORDER BY ${order} LIMIT ${this.value(page.limit + 1)}
) page
${join}
ORDER BY ${keys.map(({ column }) => `page.${column} ${page.descending ? 'DESC' : 'ASC'}`).join(', ')}`;
    const rows = await connection
      .query<Row & { cursor_keys: string[] }>(batchStatement(`list.${name}`, text), this.values)
      .catch(refusePattern);
    const items = rows.slice(0, page.limit);
    const last = items.at(-1);
    return {
      items: items.map(toItem),
      ...(rows.length > page.limit && last ? { next: last.cursor_keys } : {}),
    };
  }

  private after(keys: readonly SortColumn[], descending: boolean, after: readonly string[]): void {
    if (after.length !== keys.length) throw new Error('a cursor of another order');
    const values = keys.map(
      ({ type }, i) => `${this.value(after[i])}::${type}${type === 'text' ? ' COLLATE "C"' : ''}`,
    );
    const than = descending ? '<' : '>';
    this.conditions.push(`(${keys.map(({ column }) => column).join(', ')}) ${than} (${values.join(', ')})`);
    // Of a comparison of rows only the part that an index has is used; the first key nearly always has one, and names have
    // one of upstream and path.
    const indexed = keys[0]!.column === 'upstream' ? 2 : 1;
    const columns = keys.slice(0, indexed).map(({ column }) => column);
    this.conditions.push(`(${columns.join(', ')}) ${than}= (${values.slice(0, indexed).join(', ')})`);
  }

  private value(value: unknown): string {
    this.values.push(value instanceof Date ? value.toISOString() : value);
    return `$${this.values.length}`;
  }
}

/** SQLSTATE 2201B: the caller's regular expression is none. 57014: it, or the list, took too long. */
export function refusePattern(error: unknown): never {
  const cause = (error as { cause?: unknown }).cause ?? error;
  const { code, message } = cause as { code?: string; message?: string };
  if (code === '2201B') throw new InvalidPattern(message ?? 'invalid regular expression');
  if (code === '57014')
    throw new Failure('UNAVAILABLE', 'the question took too long; ask for less', {
      origin: 'catalog',
      retryable: false,
    });
  throw error;
}
