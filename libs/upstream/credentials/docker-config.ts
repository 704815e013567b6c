import { LRUCache } from 'lru-cache';
import { canonicalHost } from '#oci';
import type { Credentials } from '../options.js';
import { askHelper } from './credential-helper.js';
import { Renewed } from './renewed.js';
import type { CredentialSource } from './source.js';
import { WatchedFile } from './watched-file.js';

/** Hub's key in a docker config.json, and what its credential helpers know it by. */
const HUB = 'https://index.docker.io/v1/';
const HELPER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Helpers do not say how long an answer is good; cloud ones give tokens of an hour and more. Milliseconds. */
const HELPER_LIFE = 10 * 60_000;
const MOST_HELPED = 1_000;

interface Content {
  readonly auths: ReadonlyMap<string, Credentials>;
  /** By canonical host. */
  readonly helpers: ReadonlyMap<string, string>;
  readonly store?: string;
}

/**
 * Credentials as `docker login` keeps them: `auths` (user and password, identity and registry tokens), `credHelpers`, `credsStore`.
 * As docker, a helper named for the host goes first, then the store, then what stands in the file.
 */
export class DockerConfig {
  private readonly file: WatchedFile<Content>;
  private readonly helped = new LRUCache<string, Renewed>({ max: MOST_HELPED });

  constructor(path: string) {
    this.file = new WatchedFile(path, parse);
  }

  /** `host` is canonical. */
  sourceFor(host: string): CredentialSource {
    return {
      get: () => this.find(host),
      refused: () => {
        this.file.expire();
        for (const [key, source] of this.helped.entries()) if (key.endsWith(` ${host}`)) source.refused();
      },
    };
  }

  private async find(host: string): Promise<Credentials | undefined> {
    const content = await this.file.read();
    const helper = content?.helpers.get(host) ?? content?.store;
    return (helper ? await this.helper(helper, host).get() : undefined) ?? content?.auths.get(host);
  }

  private helper(name: string, host: string): Renewed {
    const key = `${name} ${host}`;
    let source = this.helped.get(key);
    if (!source) {
      source = new Renewed(async () => {
        const credentials = await askHelper(name, host === 'docker.io' ? HUB : host);
        const now = Date.now();
        return { credentials, renewAt: now + HELPER_LIFE / 2, expiresAt: now + HELPER_LIFE };
      });
      this.helped.set(key, source);
    }
    return source;
  }
}

/** Throws for what is not JSON. */
function parse(text: string): Content {
  const { auths, credHelpers, credsStore } = Object(JSON.parse(text)) as Record<string, unknown>;
  const known = new Map<string, Credentials>();
  for (const [key, entry] of Object.entries(Object(auths))) {
    const host = hostOf(key);
    const credentials = credentialsOf(Object(entry));
    if (host !== undefined && credentials && !known.has(host)) known.set(host, credentials);
  }
  const helpers = new Map<string, string>();
  for (const [key, name] of Object.entries(Object(credHelpers))) {
    const host = hostOf(key);
    if (host !== undefined && typeof name === 'string' && HELPER.test(name)) helpers.set(host, name);
  }
  const store = typeof credsStore === 'string' && HELPER.test(credsStore) ? { store: credsStore } : {};
  return { auths: known, helpers, ...store };
}

/** Keys are hosts, or URLs of old. */
function hostOf(key: string): string | undefined {
  return canonicalHost(key.replace(/^https?:\/\//, '').replace(/\/.*$/, ''));
}

function credentialsOf(entry: Record<string, unknown>): Credentials | undefined {
  const text = (name: string) => {
    const value = entry[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const [, user, password] = /^([^:]+):(.*)$/s.exec(Buffer.from(text('auth') ?? '', 'base64').toString()) ?? [];
  const identityToken = text('identitytoken');
  const token = text('registrytoken');
  if (token) return { token };
  if (identityToken) return { identityToken };
  const name = text('username') ?? user;
  return name ? { user: name, password: text('password') ?? password?.replace(/\0+$/, '') } : undefined;
}
