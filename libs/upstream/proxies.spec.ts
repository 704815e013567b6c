import {
  type FakeUpstream,
  type ForwardingProxy,
  startFakeUpstream,
  startForwardingProxy,
} from '../../test/support/upstream/index.js';
import { createUpstream, proxiesOf, type UpstreamOptions } from './adapters.js';
import { Endpoints } from './endpoints.js';
import type { Upstream } from './port.js';
import { proxyFor } from './proxies.js';

describe('B46: proxies', () => {
  let proxy: ForwardingProxy;
  let fake: FakeUpstream | undefined;
  let upstream: Upstream | undefined;
  beforeEach(async () => {
    proxy = await startForwardingProxy();
  });
  afterEach(async () => {
    await upstream?.close();
    await fake?.stop();
    await proxy.stop();
    upstream = undefined;
    fake = undefined;
  });
  const pull = async (options: UpstreamOptions, host: string) => {
    await upstream?.close();
    upstream = createUpstream(options);
    return upstream.getManifest({ upstream: host, path: 'a/b' }, 'latest');
  };

  it('goes through the proxy of a registry: plain requests as they are, https by a tunnel, tokens too', async () => {
    fake = await startFakeUpstream({ auth: { scheme: 'bearer' } });
    fake.addImage({ repository: 'a/b' });
    const url = proxy.url.replace('//', '//me:pass%20word@');
    await pull({ registries: [{ name: fake.host, scheme: 'http', proxy: url }] }, fake.host);
    const paths = proxy.asked.map((line) => line.replace(/\?.*/, ''));
    expect(paths).toEqual([
      `GET ${fake.url}/v2/a/b/manifests/latest`,
      `GET ${fake.url}/token`,
      `GET ${fake.url}/v2/a/b/manifests/latest`,
    ]);
    expect(new Set(proxy.credentials)).toEqual(new Set([`Basic ${Buffer.from('me:pass word').toString('base64')}`]));
    expect(fake.requests.filter({}).every(({ headers }) => !headers['proxy-authorization'])).toBe(true);
  });

  it('checks the certificate of the registry behind a tunnel', async () => {
    fake = await startFakeUpstream({ tls: true });
    fake.addImage({ repository: 'a/b' });
    const { host } = fake;
    const registry = { name: host, proxy: proxy.url };
    await expect(pull({ registries: [registry] }, host)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    await pull({ registries: [{ ...registry, tls: { ca: fake.certificates!.ca } }] }, host);
    expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${host}`]));
  });

  it('by environment, where NO_PROXY does not say otherwise, and never for this machine', () => {
    const env = { HTTPS_PROXY: 'http://p:1', http_proxy: 'http://q:2', NO_PROXY: '.internal.example,10.0.0.0' };
    const proxies = proxiesOf(env);
    const [endpoint] = new Endpoints({}).find('quay.io', true);
    const choice = (url: string) => proxyFor(endpoint!, new URL(url), proxies);
    expect(choice('https://quay.io/v2/')).toEqual({ uri: 'http://p:1', except: env.NO_PROXY });
    expect(choice('http://a.example/')).toEqual({ uri: 'http://q:2', except: env.NO_PROXY });
    for (const here of ['https://localhost:5000', 'http://127.0.0.1:5000', 'http://[::1]:5000'])
      expect(choice(here)).toBeUndefined();
    expect(proxiesOf({ HTTP_PROXY: 'http://evil', REQUEST_METHOD: 'GET' }).http).toBeUndefined();
  });

  it('C28: behind one the rules for host names hold: nothing is asked for what cannot be public', async () => {
    const proxies = { http: proxy.url, https: proxy.url };
    fake = await startFakeUpstream();
    const target = 'https://metadata.google.internal/latest';
    fake.faults.add({ redirect: target });
    const registries = [{ name: fake.host, scheme: 'http' as const, proxy: proxy.url }];
    // From plain http to https is no downgrade, so only the address can be the reason.
    await expect(pull({ registries, proxies }, fake.host)).rejects.toMatchObject({
      message: 'the upstream registry leads to an address that is not allowed',
    });
    expect(proxy.asked).toEqual([`GET ${fake.url}/v2/a/b/manifests/latest`]);
  });
});
