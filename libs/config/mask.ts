import { keyAt } from './keys.js';
import type { Config } from './schema.js';

const MASK = '***';

/** The configuration for people to read: secrets, and users within URLs, are `***`. */
export function maskSecrets(config: Config): Record<string, unknown> {
  return masked(config, []) as Record<string, unknown>;
}

function masked(value: unknown, path: readonly PropertyKey[]): unknown {
  if (value === undefined || value === null) return value;
  if (keyAt(path)?.secret && !isUrl(value)) return MASK;
  if (Array.isArray(value)) return value.map((item, i) => masked(item, [...path, i]));
  if (typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, masked(child, [...path, name])]));
  return typeof value === 'string' ? maskUrl(value) : value;
}

function isUrl(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && new URL(value).host !== '';
}

function maskUrl(text: string): string {
  return text.replace(/(:\/\/)[^\s/@]*@/g, `$1${MASK}@`);
}
