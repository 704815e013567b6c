import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { ConfigError, jsonSchema, load } from './index.js';
import { KEYS } from './keys.js';
import { configDirectory } from './refused.contract.js';
import { ROLES } from './schema.js';

const { file, problems } = configDirectory();

describe('whatever the file holds', () => {
  jest.setTimeout(60_000);

  const names = [...new Set([...KEYS.keys()].flatMap((key) => key.split(/[.[\]]+/)).filter(Boolean))];
  const tree = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, 0, -1, 8081, '', '30s', '80%', 'a.b', 'yes', '__proto__'),
      fc.string(),
      fc.double(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), tie('value'), { maxKeys: 5 }),
    ),
  })).value;

  const refusedOrLoaded = (yaml: string, role: (typeof ROLES)[number]) => {
    writeFileSync(file, yaml);
    try {
      expect(load({ file, role }).config.port).toBeGreaterThanOrEqual(0);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).problems.length).toBeGreaterThan(0);
    }
  };

  it('is loaded or refused with problems, as values', () => {
    fc.assert(
      fc.property(tree, fc.constantFrom(...ROLES), (value, role) => refusedOrLoaded(stringify(value), role)),
      { numRuns: 200 },
    );
  });

  it('is loaded or refused with problems, as text', () => {
    const text = fc.array(
      fc.oneof(
        fc.constantFrom(...names, ': ', '\n', '  ', '- ', '[', ']', '{', '}', '&a', '*a', '!!', '|', '"', '<<: '),
        fc.string(),
      ),
    );
    fc.assert(
      fc.property(text, fc.constantFrom(...ROLES), (parts, role) => refusedOrLoaded(parts.join(''), role)),
      { numRuns: 200 },
    );
  });

  it('cannot touch the prototype of objects', () => {
    problems('__proto__: {polluted: 1}\nadmin: {__proto__: {polluted: 1}}', {
      env: { OCIREGISTRY_TAGS: '{"__proto__":{"polluted":1}}' },
    });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(jsonSchema()).toHaveProperty('properties.port');
  });
});
