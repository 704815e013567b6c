/** Bytes of a file of users that are read. */
export const MOST_USERS_FILE = 1024 * 1024;

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** bcrypt's cost is a power of two; this one takes a second. */
const MOST_COST = 14;

/** Users and their bcrypt hashes, `user:$2y$...` a line as `htpasswd -B` writes it; or what is wrong, without any hash. */
export function parseHtpasswd(text: string): { readonly users: Map<string, string>; readonly problem?: string } {
  const users = new Map<string, string>();
  const bad = (line: number, reason: string) => ({ users, problem: `line ${line}: ${reason}` });
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    if (colon <= 0) return bad(index + 1, 'expected user:hash');
    const user = line.slice(0, colon);
    const hash = line.slice(colon + 1).trim();
    const cost = BCRYPT.exec(hash)?.[1];
    if (cost === undefined) return bad(index + 1, 'no bcrypt hash; write it with `htpasswd -B`');
    if (Number(cost) < 4 || Number(cost) > MOST_COST) return bad(index + 1, `the cost must be 4 to ${MOST_COST}`);
    if (user.length > 255) return bad(index + 1, 'the name is longer than 255 characters');
    if (users.has(user)) return bad(index + 1, `${JSON.stringify(user)} is there already`);
    users.set(user, hash);
  }
  return users.size > 0 ? { users } : { users, problem: 'it names no user' };
}
