import type { Config } from '#config';
import { pinExpressions, tagRules } from './tag-rules.js';

type Rule = Partial<Config['tags']['rules'][number]> & { match: string };
const rules = (list: Rule[], alwaysPullLatest = false) =>
  tagRules({
    tags: { fresh: 60, stale: 600, rules: list.map((rule) => ({ pin: false, alwaysPull: false, ...rule })) },
    alwaysPullLatest,
  } as unknown as Config);
const NORMAL = { fresh: 60, stale: 600 };
const ALWAYS = { fresh: -1, stale: -1 };
const at = (name: string) => {
  const [upstream = '', ...path] = name.split('/');
  return { upstream, path: path.join('/') };
};

describe('tagRules', () => {
  it('gives the defaults, and asks for latest each time where that is wanted', () => {
    expect(rules([])(at('quay.io/a/b'), 'latest')).toEqual(NORMAL);
    expect(rules([], true)(at('quay.io/a/b'), 'latest')).toEqual(ALWAYS);
    expect(rules([], true)(at('quay.io/a/b'), 'v1')).toEqual(NORMAL);
  });

  it.each([
    ['quay.io/a/b:v1', 'quay.io/a/b', 'v1', true],
    ['quay.io/a/b:v1', 'quay.io/a/b', 'v2', false],
    ['quay.io/a/*:*', 'quay.io/a/b', 'v1.2.3', true],
    ['quay.io/a/*:*', 'quay.io/a/b/c', 'v1', false],
    ['quay.io/**:*-nightly', 'quay.io/a/b/c', '2024-nightly', true],
    ['quay.io/**:{latest,edge}', 'quay.io/a', 'edge', true],
    ['quay.io/**:v[0-9]*', 'quay.io/a', 'v10', true],
    ['quay.io/**:!(v)*', 'quay.io/a', 'x', true],
    ['*.gcr.io/**:*', 'eu.gcr.io/a', 'v1', true],
    ['quay.io/**:*', 'ghcr.io/a', 'v1', false],
    ['127.0.0.1:5000/a:v1', '127.0.0.1:5000/a', 'v1', true],
    ['docker.io/alpine:*', 'docker.io/library/alpine', '3', true],
    ['index.docker.io/*:*', 'docker.io/library/alpine', '3', true],
    ['docker.io/**:*', 'docker.io/bitnami/redis', '3', true],
    ['docker.io/alpine:*', 'docker.io/other/alpine', '3', false],
  ])('%s and %s:%s', (match, repository, tag, expected) => {
    expect(rules([{ match, alwaysPull: true }])(at(repository), tag)).toEqual(expected ? ALWAYS : NORMAL);
    // As a prune asks the database.
    const [{ expression } = { expression: '' }] = pinExpressions({ tags: { rules: [{ match, pin: true }] } } as never);
    expect(new RegExp(expression).test(`${repository}:${tag}`)).toBe(expected);
  });

  it('lets the first match decide, before alwaysPullLatest', () => {
    const rule = rules(
      [
        { match: 'quay.io/a/**:latest', pin: true },
        { match: 'quay.io/**:*', fresh: 5 },
        { match: 'quay.io/**:latest', alwaysPull: true },
      ],
      true,
    );
    expect(rule(at('quay.io/a/b'), 'latest')).toEqual({ fresh: Infinity, stale: Infinity });
    for (let i = 0; i < 2; i++) expect(rule(at('quay.io/b'), 'latest')).toEqual({ fresh: 5, stale: 600 });
    expect(rule(at('ghcr.io/b'), 'latest')).toEqual(ALWAYS);
  });

  it('never lets stale end before fresh', () => {
    expect(rules([{ match: 'a.b/**:*', fresh: 900 }])(at('a.b/c'), 'x')).toEqual({ fresh: 900, stale: 900 });
  });
});
