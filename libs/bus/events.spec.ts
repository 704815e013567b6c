import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { decodePull, decodePullJson } from './decode.js';
import { EVENT_MAJOR, LANES, type PullRequested, pullKey, pullRequestedSchema, signalSchemas } from './events.js';
import { namesFor } from './jetstream/options.js';

const page = readFileSync(join(import.meta.dirname, '../../docs/events.md'), 'utf8');

interface Definition {
  type: string;
  shape?: Record<string, z.core.$ZodType>;
  options?: z.core.$ZodType[];
  innerType?: z.core.$ZodType;
}

/** Dotted names of all leaves and whether each is always there. */
function fields(schema: z.core.$ZodType, name = '', required = true): Map<string, boolean> {
  const { type, shape, options, innerType } = schema._zod.def as Definition;
  if (type === 'optional' && innerType) return fields(innerType, name, false);
  if (type === 'union' && options) {
    const variants = options.map((option) => fields(option, name, required));
    const names = new Set(variants.flatMap((variant) => [...variant.keys()]));
    return new Map([...names].map((each) => [each, variants.every((variant) => variant.get(each) === true)]));
  }
  if (type !== 'object' || !shape) return new Map([[name, required]]);
  const nested = Object.entries(shape).map(([key, value]) => fields(value, name ? `${name}.${key}` : key, required));
  return new Map(nested.flatMap((each) => [...each]));
}

function documented(event: string): Map<string, boolean> {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${event}\n`)) ?? '';
  const rows = section.matchAll(/^\| `([^`]+)` \| (yes|no) \| \S/gm);
  return new Map([...rows].map(([, name, required]) => [name as string, required === 'yes']));
}

describe('docs/events.md', () => {
  const schemas = { 'pull.requested': pullRequestedSchema, ...signalSchemas };

  it.each(Object.entries(schemas))('describes every field of %s', (name, schema) => {
    const sorted = (map: Map<string, boolean>) => Object.fromEntries([...map].sort());
    expect(sorted(documented(name))).toEqual(sorted(fields(schema)));
  });

  it('describes no event that is gone', () => {
    const sections = [...page.matchAll(/^## (\w+\.\w+)$/gm)].map(([, name]) => name);
    expect(sections.sort()).toEqual(Object.keys(schemas).sort());
  });

  it('tells the version and the names in NATS', () => {
    expect(page).toContain(`Major version: ${EVENT_MAJOR}\n`);
    const names = namesFor();
    const told = [names.stream, names.pull('<lane>' as 'interactive', '<key>'), `${names.signals}<name>`, ...LANES];
    for (const name of told) expect(page).toContain(`\`${name}\``);
  });
});

describe('decodePull', () => {
  const repository = { upstream: 'docker.io', path: 'library/alpine' };
  const target = { kind: 'manifest', repository, reference: 'latest' } as const;
  const event: PullRequested = { v: 1, key: pullKey(target), target, lane: 'interactive', cause: 'client' };

  it('reads what was written', () => {
    expect(decodePullJson(JSON.stringify(event))).toEqual({ kind: 'event', event });
  });

  it('ignores fields of newer minors at any depth', () => {
    const newer = { ...event, added: 1, target: { ...target, added: 2, repository: { ...repository, added: 3 } } };
    expect(decodePull(newer)).toEqual({ kind: 'event', event });
  });

  it('knows a newer major by nothing but its version', () => {
    expect(decodePull({ v: EVENT_MAJOR + 1 })).toEqual({ kind: 'newer', v: EVENT_MAJOR + 1 });
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a list', []],
    ['no version', { ...event, v: undefined }],
    ['a broken version', { ...event, v: 1.5 }],
    ['a foreign key', { ...event, key: 'x' }],
    ['an unknown lane', { ...event, lane: 'fast' }],
    ['an unknown target', { ...event, target: { kind: 'layers', repository } }],
    ['a bad digest', { ...event, target: { kind: 'blob', repository, digest: 'sha256:00' } }],
  ])('refuses %s and says where', (_, raw) => {
    expect(decodePull(raw)).toEqual({ kind: 'invalid', reason: expect.stringMatching(/.: ./) });
  });

  it('refuses what is not JSON', () => {
    expect(decodePullJson('{')).toEqual({ kind: 'invalid', reason: 'not JSON' });
  });
});

describe('pullKey', () => {
  const target = (path: string, reference: string, upstream = 'docker.io') =>
    pullKey({ kind: 'manifest', repository: { upstream, path }, reference });

  it('is the same for the same target and another for every other', () => {
    const digest: `sha256:${string}` = `sha256:${'a'.repeat(64)}`;
    const repository = { upstream: 'docker.io', path: 'a/b' };
    const blob = pullKey({ kind: 'blob', repository, digest, size: 1 });
    expect(pullKey({ kind: 'blob', repository, digest })).toBe(blob);
    const tags = pullKey({ kind: 'tags', repository });
    const referrers = pullKey({ kind: 'referrers', repository, digest });
    const all = [
      blob,
      tags,
      referrers,
      target('a/b', digest),
      target('a/b', 'c'),
      target('a', 'b/c'),
      target('a/b', 'C'),
    ];
    expect(new Set([...all, target('a/b', 'c', 'quay.io')]).size).toBe(8);
    for (const key of all) expect(key).toMatch(/^[0-9a-f]{40}$/);
  });
});
