import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { atMost } from '#async';
import type { Caller } from '#registry';
import { parseAuthorization } from './credentials.js';
import type { Passwords } from './passwords.js';
import type { Tokens } from './tokens.js';
import type { Users } from './users.js';

const MOST_REMEMBERED = 10_000;
/** Milliseconds that a wrong password is remembered; a node with an old one asks again and again. */
const WRONG_FOR = 10_000;

interface Remembered {
  readonly caller: Caller;
  /** Epoch milliseconds. */
  readonly until: number;
  /** Of the file of users. */
  readonly version: number;
}

const NOBODY: Caller = { kind: 'nobody' };
const WRONG: Caller = { kind: 'unproven', message: 'wrong user or password' };
const NO_TOKEN: Caller = {
  kind: 'unproven',
  message: 'the token has expired or is none of ours',
  error: 'invalid_token',
};

/**
 * Who sent an `Authorization` header. What was found out is remembered under a salted digest of it, so that neither a password nor
 * a signature is checked for each request; it holds as long as the file of users stays the same.
 */
export class Callers {
  private readonly salt = randomBytes(32);
  /** Right passwords, apart from tokens and wrong ones: anybody may send as many of those, and they would push out the others. */
  private readonly right = new LRUCache<string, Remembered>(atMost(MOST_REMEMBERED));
  private readonly others = new LRUCache<string, Remembered>(atMost(MOST_REMEMBERED));
  private readonly asking = new Map<string, Promise<Caller>>();

  constructor(
    private readonly users: Users,
    private readonly passwords: Passwords,
    private readonly tokens: Tokens,
  ) {}

  /** `address`: of the client. Rejects as `Passwords.check` does. A promise only where something must be checked. */
  identify(header: string | undefined, address: string): Caller | Promise<Caller> {
    if (header === undefined) return NOBODY;
    const key = createHmac('sha256', this.salt).update(header).digest('base64');
    const known = this.right.get(key) ?? this.others.get(key);
    if (known && Date.now() < known.until && known.version === this.users.version) return known.caller;
    // Many clients with one password, all at once, are one check.
    let answer = this.asking.get(key);
    if (!answer) {
      answer = this.find(key, header, address).finally(() => this.asking.delete(key));
      this.asking.set(key, answer);
    }
    return answer;
  }

  /** The same for a name and a password that came by another way. */
  async login(user: string, password: string, address: string): Promise<Caller> {
    return this.identify(`Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, address);
  }

  private async find(key: string, header: string, address: string): Promise<Caller> {
    const credentials = parseAuthorization(header);
    const { version } = this.users;
    const remember = (memory: LRUCache<string, Remembered>, caller: Caller, until: number) => {
      memory.set(key, { caller, until, version });
      return caller;
    };
    if (credentials.scheme === 'bearer') {
      const verified = await this.tokens.verify(credentials.token);
      if (!verified) return NO_TOKEN;
      const { user, grant, expires } = verified;
      return remember(this.others, { kind: 'known', ...(user === undefined ? {} : { user }), grant }, expires);
    }
    if (credentials.scheme === 'other') return WRONG;
    const { user, password } = credentials;
    const hash = this.users.hashOf(user);
    // Who is not there takes as long, and has a password that nobody has.
    const proven = await (hash === undefined
      ? this.passwords.check(randomBytes(16).toString('hex'), this.users.anyHash(), address)
      : this.passwords.check(password, hash, address));
    if (!proven) return remember(this.others, WRONG, Date.now() + WRONG_FOR);
    // For as long as its hash stays: who has logged in once does not wait behind a flood of wrong passwords.
    return remember(this.right, { kind: 'known', user }, Number.POSITIVE_INFINITY);
  }
}
