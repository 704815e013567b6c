/** `name` is the prepared statement's name on the server; one name, one text, for ever within a release. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /**
   * Planned for every run, at the tables' size of that moment. A prepared plan is kept until the next ANALYZE: one for
   * a join of many keys, made while the tables were small, reads whole tables while a cold cache fills.
   */
  readonly replan: boolean;
}

/** Of single keys; planned once per connection. */
export function statement(name: string, text: string): Statement {
  return { name: `catalog.${name}`, text: text.replace(/^\n+|\s+$/g, ''), replan: false };
}

/** Of many keys at once. */
export function batchStatement(name: string, text: string): Statement {
  return { ...statement(name, text), replan: true };
}

/** Rows that one run of `expirePulls` removes; written into it, so that PostgreSQL plans for few. */
export const EXPIRE_AT_MOST = 1_000;
