import { createHmac } from 'node:crypto';
import { checkHookSecret, type HookProof } from './hook-secret.js';
import { type HookSource, pushedTags, readTag, UnknownPayload } from './payloads.js';

/** As the senders document them, with what is not looked at. */
const DOCKER_HUB = {
  callback_url: 'https://registry.hub.docker.com/u/svendowideit/testhook/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/',
  push_data: { pushed_at: 1417566161, pusher: 'trustedbuilder', tag: 'latest' },
  repository: {
    comment_count: 0,
    date_created: 1417494799,
    is_official: false,
    name: 'testhook',
    namespace: 'svendowideit',
    owner: 'svendowideit',
    repo_name: 'svendowideit/testhook',
    repo_url: 'https://registry.hub.docker.com/u/svendowideit/testhook/',
    status: 'Active',
  },
};
const DISTRIBUTION = {
  events: [
    {
      id: 'asdf-asdf-asdf-asdf-0',
      timestamp: '2006-01-02T15:04:05Z',
      action: 'push',
      target: {
        mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
        length: 1,
        digest: 'sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf',
        repository: 'library/test',
        tag: 'v1',
        url: 'https://example.com/v2/library/test/manifests/sha256:c3b3692957d439ac1928219a83fac91e7bf96c153725526874673ae1f2023f8d5',
      },
      request: {
        id: 'asdfasdf',
        addr: 'client.local',
        host: 'registrycluster.local',
        method: 'PUT',
        useragent: 'test/0.1',
      },
      actor: { name: 'test-actor' },
      source: { addr: 'hostname.local:port' },
    },
    {
      action: 'push',
      target: { repository: 'library/test', digest: 'sha256:aa' },
      request: { host: 'registrycluster.local' },
    },
    { action: 'pull', target: { repository: 'library/test', tag: 'v2' }, request: { host: 'registrycluster.local' } },
  ],
};
const version = {
  id: 1234,
  version: 'sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf',
  container_metadata: { tag: { name: 'v1', digest: 'sha256:fea8' }, labels: {}, manifest: {} },
  package_url: 'ghcr.io/octo-org/hello:v1',
};
const pack = { id: 1, name: 'hello', namespace: 'octo-org', package_type: 'CONTAINER', owner: { login: 'Octo-Org' } };
const GITHUB_REGISTRY = { action: 'published', registry_package: { ...pack, package_version: version }, sender: {} };
const GITHUB_PACKAGE = {
  action: 'published',
  package: {
    ...pack,
    package_type: 'container',
    package_version: { ...version, package_url: 'ghcr.io/octo-org/hello:' },
  },
};
const harborData = {
  resources: [
    {
      digest: 'sha256:8a9e9863dbb6e10edb5adfe917c00da84e1700fa76e7ed02476aa6e6fb8ee0d8',
      tag: 'latest',
      resource_url: 'hub.harbor.com/test-webhook/debian:latest',
    },
  ],
  repository: {
    date_created: 1586922308,
    name: 'debian',
    namespace: 'test-webhook',
    repo_full_name: 'test-webhook/debian',
    repo_type: 'private',
  },
};
const HARBOR = { type: 'PUSH_ARTIFACT', occur_at: 1586922308, operator: 'admin', event_data: harborData };
const HARBOR_EVENT = {
  specversion: '1.0',
  id: '4b2f89a6-548d-4c12-9993-a1f5790b97d2',
  source: '/projects/1/webhook/policies/15',
  type: 'harbor.artifact.pushed',
  datacontenttype: 'application/json',
  time: '2023-04-03T06:23:27Z',
  data: harborData,
  operator: 'admin',
};
const QUAY = {
  name: 'repository',
  repository: 'mynamespace/repository',
  namespace: 'mynamespace',
  docker_url: 'quay.io/mynamespace/repository',
  homepage: 'https://quay.io/repository/mynamespace/repository',
  updated_tags: ['latest', 'v2'],
};
/** Azure Container Registry through Event Grid, in the CloudEvents schema. */
const AZURE = {
  specversion: '1.0',
  type: 'Microsoft.ContainerRegistry.ImagePushed',
  id: '831e1650',
  source: '/subscriptions/x/resourceGroups/y/providers/Microsoft.ContainerRegistry/registries/z',
  time: '2018-04-25T21:39:47.6549614Z',
  data: {
    id: '31c51664',
    action: 'push',
    target: {
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      repository: 'aci-helloworld',
      tag: 'v1',
    },
    request: { id: '7b7b', host: 'demo.azurecr.io', method: 'PUT', useragent: 'docker' },
  },
};

const read = (source: HookSource, body: unknown, headers = {}, registry?: string) =>
  pushedTags(source, { body, headers, ...(registry ? { registry } : {}) });

describe('webhook payloads', () => {
  it.each<[string, HookSource, unknown, string[], object?]>([
    ['Docker Hub', 'docker', DOCKER_HUB, ['docker.io/svendowideit/testhook:latest']],
    ['a distribution registry', 'docker', DISTRIBUTION, ['registrycluster.local/library/test:v1']],
    ['GitHub, registry_package', 'github', GITHUB_REGISTRY, ['ghcr.io/octo-org/hello:v1']],
    ['GitHub, package without a whole URL', 'github', GITHUB_PACKAGE, ['ghcr.io/octo-org/hello:v1']],
    ['GitHub, ping', 'github', { zen: 'x', hook_id: 1 }, [], { 'x-github-event': 'ping' }],
    ['GitHub, an npm package', 'github', { package: { ...pack, package_type: 'npm' } }, []],
    ['Harbor', 'harbor', HARBOR, ['hub.harbor.com/test-webhook/debian:latest']],
    ['Harbor, deletion', 'harbor', { ...HARBOR, type: 'DELETE_ARTIFACT' }, []],
    ['Harbor as CloudEvents', 'harbor', HARBOR_EVENT, ['hub.harbor.com/test-webhook/debian:latest']],
    ['Quay', 'quay', QUAY, ['quay.io/mynamespace/repository:latest', 'quay.io/mynamespace/repository:v2']],
    ['CloudEvents of Harbor', 'cloudevents', HARBOR_EVENT, ['hub.harbor.com/test-webhook/debian:latest']],
    ['CloudEvents of Azure', 'cloudevents', AZURE, ['demo.azurecr.io/aci-helloworld:v1']],
    [
      'a batch',
      'cloudevents',
      [AZURE, HARBOR_EVENT],
      ['demo.azurecr.io/aci-helloworld:v1', 'hub.harbor.com/test-webhook/debian:latest'],
    ],
    [
      'binary mode',
      'cloudevents',
      { image: 'quay.io/a/b:c' },
      ['quay.io/a/b:c'],
      { 'ce-type': 'a.b', 'ce-specversion': '1.0' },
    ],
    ['CloudEvents, deletion', 'cloudevents', { ...AZURE, type: 'Microsoft.ContainerRegistry.ImageDeleted' }, []],
  ])('of %s tell what was pushed', (_, source, body, expected, headers = {}) => {
    expect(read(source, body, headers)).toEqual(expected);
  });

  it.each<[HookSource, unknown, string]>([
    ['docker', {}, 'push_data'],
    ['docker', { events: [{ action: 'push', target: { repository: 'a', tag: 'b' } }] }, 'request.host'],
    ['docker', { events: [] }, 'events'],
    ['docker', null, 'body'],
    ['github', QUAY, 'body'],
    ['harbor', { ...HARBOR, event_data: {} }, 'event_data.resources'],
    ['quay', { ...QUAY, updated_tags: 'latest' }, 'updated_tags'],
    ['cloudevents', { ...AZURE, data: { what: 1 } }, 'data'],
    ['cloudevents', Array(101).fill(AZURE), '100'],
    ['quay', 'text', 'body'],
  ])('that are not those of %s are refused with the place', (source, body, place) => {
    expect(() => read(source, body)).toThrow(UnknownPayload);
    expect(() => read(source, body)).toThrow(place);
  });

  it('are taken for another registry where the sender is known by another name', () => {
    expect(read('quay', QUAY, {}, 'quay.corp:8443')[0]).toBe('quay.corp:8443/mynamespace/repository:latest');
  });

  it('name tags, and nothing else', () => {
    expect(readTag('ghcr.io/octo-org/hello:v1').tag).toBe('v1');
    for (const text of ['ghcr.io/a/b@sha256:ab', 'ghcr.io/A/b:c', '../../etc:x', 'a b'])
      expect(() => readTag(text)).toThrow(UnknownPayload);
  });
});

describe('the secret of a webhook', () => {
  const raw = Buffer.from('{"zen":"Responsive is better than fast."}');
  const signed = (secret: string) => `sha256=${createHmac('sha256', secret).update(raw).digest('hex')}`;
  const proof = (headers: HookProof['headers'], token?: string): HookProof => ({
    headers,
    raw,
    ...(token ? { token } : {}),
  });

  it.each<[string, HookSource, HookProof]>([
    ['its signature', 'github', proof({ 'x-hub-signature-256': signed('s3') })],
    ['the admin token', 'github', proof({ authorization: 'Bearer admin' })],
    ['the plain header of Harbor', 'harbor', proof({ authorization: 's3' })],
    ['a bearer token', 'cloudevents', proof({ authorization: 'Bearer s3' })],
    ['the URL', 'quay', proof({}, 's3')],
    ['the URL', 'docker', proof({}, 's3')],
  ])('is proven by %s (%s)', (_, source, given) => {
    expect(() => checkHookSecret(source, given, 's3', 'admin')).not.toThrow();
  });

  it.each<[string, HookSource, HookProof]>([
    ['nothing', 'github', proof({})],
    ['a signature by another secret', 'github', proof({ 'x-hub-signature-256': signed('s4') })],
    [
      'a signature of another body',
      'github',
      { ...proof({ 'x-hub-signature-256': signed('s3') }), raw: Buffer.from('{}') },
    ],
    ['the secret itself, which GitHub never sends', 'github', proof({ authorization: 'Bearer s3' }, 's3')],
    ['another token', 'docker', proof({}, 's33')],
    ['an empty header', 'harbor', proof({ authorization: '' })],
  ])('is not proven by %s', (_, source, given) => {
    expect(() => checkHookSecret(source, given, 's3', 'admin')).toThrow('needs the secret');
    expect(() => checkHookSecret(source, given, 's3')).toThrow('needs the secret');
  });
});
