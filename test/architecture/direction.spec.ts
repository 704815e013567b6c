import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

const ROOT = join(__dirname, '../..');
const NO_OTHERS: readonly string[] = [];

/** Which of our libraries each one may import; `x/adapters` is the implementations of port x. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  oci: NO_OTHERS,
  async: NO_OTHERS,
  blobs: ['oci', 'async'],
  bus: ['oci', 'async'],
  catalog: ['oci', 'async'],
  upstream: ['oci', 'async'],
  registry: ['oci', 'async', 'blobs', 'bus', 'catalog', 'upstream'],
  archive: ['oci', 'registry'],
  tls: NO_OTHERS,
  relay: ['oci', 'async', 'blobs', 'bus', 'registry', 'tls'],
  config: ['oci', 'async'],
  telemetry: ['oci', 'async', 'config', 'blobs', 'bus', 'catalog', 'upstream', 'registry'],
  stack: [
    'oci',
    'async',
    'blobs',
    'bus',
    'catalog',
    'upstream',
    'registry',
    'relay',
    'config',
    'telemetry',
    'blobs/adapters',
    'bus/adapters',
    'catalog/adapters',
    'upstream/adapters',
  ],
};
/** The product knows no technology. */
const REGISTRY_PACKAGES = ['lru-cache'];

function sources(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return name === 'web' ? [] : sources(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g,
    ),
  ].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

const isTest = (path: string) => /\.(spec|contract)\.ts$/.test(path);

describe('the direction of imports', () => {
  const libraries = readdirSync(join(ROOT, 'libs'));

  it('has a rule for every library', () => expect(libraries.sort()).toEqual(Object.keys(MAY_IMPORT).sort()));

  it.each(libraries)('libs/%s', (library) => {
    const wrong = sources(join(ROOT, 'libs', library))
      .filter((path) => !isTest(path))
      .flatMap((path) =>
        importsOf(path)
          .filter((name) => {
            if (name.startsWith('#')) return !MAY_IMPORT[library]!.includes(name.slice(1)) && name.slice(1) !== library;
            if (name.startsWith('.'))
              return relative(join(ROOT, 'libs', library), join(path, '..', name)).startsWith('..');
            return library === 'registry' && !name.startsWith('node:') && !REGISTRY_PACKAGES.includes(name);
          })
          .map((name) => `${relative(ROOT, path)} -> ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  it('lets apps import adapters only for what Nest must be told', () => {
    const wrong = sources(join(ROOT, 'apps'))
      .filter((path) => !isTest(path))
      .flatMap((path) =>
        importsOf(path)
          .filter((name) => name.includes('/adapters') && name !== '#bus/adapters')
          .map((name) => `${relative(ROOT, path)} -> ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  it('keeps files readable in one sitting', () => {
    const long = [...sources(join(ROOT, 'apps')), ...sources(join(ROOT, 'libs'))].filter(
      (path) => !isTest(path) && readFileSync(path, 'utf8').split('\n').length > 320,
    );
    expect(long.map((path) => relative(ROOT, path))).toEqual([]);
  });
});
