import { Failure, parseRoute, type Repository, repositoryOf } from '#oci';
import { Admission, type Caller, Unauthorized } from './admission.js';
import { ClientRules } from './client-rules.js';

const at = (reference: string): Repository => {
  const slash = reference.indexOf('/');
  return repositoryOf(reference.slice(0, slash), reference.slice(slash + 1));
};

describe('client rules', () => {
  const rules = new ClientRules(
    [
      { users: ['ci', 'alice'], allow: ['ghcr.io/acme/**', 'index.docker.io/alpine'] },
      { users: ['ci'], allow: ['Quay.io:443/team/*'] },
      { users: ['*'], allow: ['registry.k8s.io/pause'] },
      { users: ['root'], allow: ['**'] },
    ],
    ['docker.io/library/busy*'],
  );

  it.each<[string | undefined, string, boolean]>([
    ['alice', 'ghcr.io/acme/app', true],
    ['alice', 'ghcr.io/acme/app/sub', true],
    ['alice', 'ghcr.io/acme', false],
    ['alice', 'ghcr.io/acmeware/app', false],
    ['alice', 'ghcrxio/acme/app', false],
    ['alice', 'quay.io/team/app', false],
    ['ci', 'quay.io/team/app', true],
    ['ci', 'quay.io/team/app/sub', false],
    ['alice', 'docker.io/library/alpine', true],
    ['alice', 'docker.io/library/alpinette', false],
    ['alice', 'registry.k8s.io/pause', true],
    ['eve', 'registry.k8s.io/pause', true],
    ['eve', 'ghcr.io/acme/app', false],
    ['*', 'ghcr.io/acme/app', false],
    ['root', 'anything.example/at/all', true],
    [undefined, 'registry.k8s.io/pause', false],
    // What anybody may pull, everybody may.
    [undefined, 'docker.io/library/busybox', true],
    ['eve', 'docker.io/library/busybox', true],
  ])('%s and %s: %s', (user, repository, allowed) => {
    expect(rules.allows(user, at(repository))).toBe(allowed);
    // The database is asked with the same.
    const visible = rules.visibleTo(user);
    const { upstream, path } = at(repository);
    expect(visible?.some((text) => new RegExp(text).test(`${upstream}/${path}`))).toBe(allowed);
  });

  it('without rules gives users everything, and nobody else anything', () => {
    const none = new ClientRules(undefined, []);
    expect([none.allows('a', at('x.y/z')), none.allows(undefined, at('x.y/z'))]).toEqual([true, false]);
    expect([none.visibleTo('a'), none.visibleTo(undefined), none.open]).toEqual([undefined, [], false]);
  });

  it('with an empty list gives users nothing', () => {
    expect(new ClientRules([], []).allows('a', at('x.y/z'))).toBe(false);
    expect(new ClientRules([{ users: ['a'], allow: [] }], []).allows('a', at('x.y/z'))).toBe(false);
  });
});

describe('admission', () => {
  const rules = new ClientRules([{ users: ['*'], allow: ['x.y/open/*'] }], ['x.y/free/*']);
  const admission = new Admission(rules);
  const closed = new Admission(new ClientRules(undefined, []));
  const digest = `sha256:${'0'.repeat(64)}`;
  const token = (user: string | undefined, ...repositories: string[]): Caller => ({
    kind: 'known',
    ...(user === undefined ? {} : { user }),
    grant: { repositories: new Set(repositories), catalog: false },
  });
  const nobody: Caller = { kind: 'nobody' };
  const alice: Caller = { kind: 'known', user: 'alice' };
  const located = jest.fn((name: string) => at(`x.y/${name}`));

  function decide(of: Admission, caller: Caller, target: string): string {
    const route = parseRoute(target);
    try {
      of.admit(caller, route, () => located('name' in route ? route.name : ''));
      return 'admitted';
    } catch (error) {
      if (error instanceof Unauthorized) return `401 ${error.error ?? ''}`.trim();
      if (error instanceof Failure) return String(error.status);
      throw error;
    }
  }

  it.each<[string, Caller, string, string]>([
    ['nobody asks for the version', nobody, '/v2/', '401'],
    ['nobody asks for the catalog', nobody, '/v2/_catalog', '401'],
    ['nobody asks for what is free', nobody, '/v2/free/a/manifests/v1', 'admitted'],
    ['nobody asks for more', nobody, '/v2/open/a/manifests/v1', '401'],
    ['a user asks for the version', alice, '/v2/', 'admitted'],
    ['a user asks for the catalog', alice, '/v2/_catalog', 'admitted'],
    ['a user asks for what is allowed', alice, '/v2/open/a/manifests/v1', 'admitted'],
    ['a user asks for what is not', alice, '/v2/secret/a/manifests/v1', '403'],
    ['a token of a user', token('alice', 'open/a'), '/v2/open/a/manifests/v1', 'admitted'],
    ['for another repository', token('alice', 'open/b'), '/v2/open/a/manifests/v1', '401 insufficient_scope'],
    ['for what the user may not', token('alice', 'secret/a'), '/v2/secret/a/manifests/v1', '403'],
    ['without a scope', token('alice'), '/v2/', 'admitted'],
    ['not for the catalog', token('alice', 'open/a'), '/v2/_catalog', '401 insufficient_scope'],
    ['a token of nobody', token(undefined, 'free/a'), '/v2/free/a/manifests/v1', 'admitted'],
    ['for what needs a name', token(undefined, 'open/a'), '/v2/open/a/manifests/v1', '401 insufficient_scope'],
    [
      'a bad token',
      { kind: 'unproven', message: '', error: 'invalid_token' },
      '/v2/free/a/manifests/v1',
      '401 invalid_token',
    ],
    ['a wrong password', { kind: 'unproven', message: '' }, '/v2/free/a/manifests/v1', '401'],
  ])('%s', (_, caller, target, decision) => expect(decide(admission, caller, target)).toBe(decision));

  it.each([
    '/v2/secret/a/manifests/v1',
    `/v2/secret/a/manifests/${digest}`,
    `/v2/secret/a/blobs/${digest}`,
    '/v2/secret/a/tags/list',
    `/v2/secret/a/referrers/${digest}`,
  ])('C36: denies %s', (target) => expect(decide(admission, alice, target)).toBe('403'));

  it('tells who may see nothing nothing of the names either', () => {
    located.mockImplementation(() => {
      throw new Failure('NAME_UNKNOWN');
    });
    expect(decide(admission, nobody, '/v2/free/a/manifests/v1')).toBe('401');
    expect(decide(admission, alice, '/v2/free/a/manifests/v1')).toBe('404');
    located.mockClear();
    expect(decide(closed, nobody, '/v2/free/a/manifests/v1')).toBe('401');
    expect(located).not.toHaveBeenCalled();
  });
});
