/** `name` is the prepared statement's name on the server; one name, one text, for ever within a release. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export function statement(name: string, text: string): Statement {
  return { name: `catalog.${name}`, text: text.replace(/^\n+|\s+$/g, '') };
}

/** Rows that one run of `expirePulls` removes; written into it, so that PostgreSQL plans for few. */
export const EXPIRE_AT_MOST = 1_000;
