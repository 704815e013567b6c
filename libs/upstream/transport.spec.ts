import type { AddressInfo } from 'node:net';
import { createServer, type LookupFunction, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import {
  type FakeUpstream,
  type FakeUpstreamOptions,
  makeCertificates,
  startFakeUpstream,
} from '../../test/support/upstream/index.js';
import { createUpstream, type RegistryOptions, type UpstreamOptions } from './adapters.js';
import type { Upstream } from './port.js';

let fake: FakeUpstream;
const opened: Upstream[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((upstream) => upstream.close()));
  await fake?.stop();
});

function client(options: UpstreamOptions): Upstream {
  const upstream = createUpstream(options);
  opened.push(upstream);
  return upstream;
}
async function start(
  options: FakeUpstreamOptions = {},
  registry: Partial<RegistryOptions> = {},
  more: UpstreamOptions = {},
) {
  fake = await startFakeUpstream(options);
  fake.addImage({ repository: 'a/b' });
  return client({ registries: [{ name: fake.host, scheme: options.tls ? 'https' : 'http', ...registry }], ...more });
}
const get = (upstream: Upstream, host = fake.host, signal?: AbortSignal) =>
  upstream.getManifest({ upstream: host, path: 'a/b' }, 'latest', { signal });

/** Answers every name with these addresses. */
function resolving(...addresses: string[]): { lookup: LookupFunction; asked: string[] } {
  const asked: string[] = [];
  const lookup: LookupFunction = (hostname, _options, callback) => {
    asked.push(hostname);
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { lookup, asked };
}

describe('B47: time-outs', () => {
  it('headers that never come', async () => {
    const upstream = await start({}, {}, { timeouts: { headers: 50 } });
    fake.faults.add({ hang: true });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT', status: 504, origin: 'upstream' });
  });

  it('a TLS handshake that never comes', async () => {
    const silent: Server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const upstream = client({ registries: [{ name: host }], timeouts: { connect: 50 } });
    try {
      await expect(get(upstream, host)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
    } finally {
      await upstream.close();
      silent.close();
    }
  });

  it('a connection that never gets free', async () => {
    const upstream = await start({}, { maxConnections: 1 }, { timeouts: { connect: 50, headers: 50 } });
    const blob = fake.addBlob('a/b', { size: 10_000_000 });
    fake.faults.add({ path: /blobs/, stall: { at: 1000 } });
    const body = await upstream.getBlob({ upstream: fake.host, path: 'a/b' }, blob.digest as `sha256:${string}`);
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
    body.abort();
  });

  it('a token that never comes', async () => {
    const upstream = await start({ auth: { scheme: 'bearer' } }, {}, { timeouts: { headers: 50 } });
    fake.faults.add({ path: /token/, hang: true });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
  });

  it('a manifest that stops', async () => {
    const upstream = await start({}, {}, { timeouts: { body: 50 } });
    fake.faults.add({ stall: { at: 10 } });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
  });
});

describe('connections that fail', () => {
  it('refused, unknown or not HTTP: 502', async () => {
    const upstream = await start();
    const { host } = fake;
    await fake.stop();
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502, retryable: true });
    const talker = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9\r\n')).listen(
      Number(host.split(':')[1]),
      '127.0.0.1',
    );
    await new Promise((resolve) => talker.once('listening', resolve));
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    talker.close();
    const lookup: LookupFunction = (_hostname, _options, callback) =>
      callback(Object.assign(new Error(), { code: 'ENOTFOUND' }), '');
    const lost = client({ registries: [{ name: 'registry.example' }], lookup });
    await expect(get(lost, 'registry.example')).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
  });

  it('B43: tries once more when the connection breaks before the headers', async () => {
    const upstream = await start();
    await get(upstream);
    fake.faults.add({ reset: true, times: 1 });
    await get(upstream);
    expect(fake.requests.gets()).toBe(3);
    fake.faults.add({ reset: true });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    expect(fake.requests.gets()).toBe(5);
  });

  it('goes on after the upstream has been away', async () => {
    const upstream = await start();
    await get(upstream);
    await fake.stop();
    await fake.start();
    await get(upstream);
  });

  it("rejects with the caller's own reason", async () => {
    const upstream = await start();
    fake.faults.add({ hang: true });
    const cancel = new AbortController();
    const got = get(upstream, fake.host, cancel.signal);
    await fake.requests.until({});
    cancel.abort(new Error('nobody waits'));
    await expect(got).rejects.toThrow('nobody waits');
    await expect(get(upstream, fake.host, cancel.signal)).rejects.toThrow('nobody waits');
    await fake.requests.until({ done: true });
    expect(fake.requests.length).toBe(1);
  });

  it('pauses an upstream that is down, and tells when', async () => {
    const paused: unknown[] = [];
    const onFailing = (host: string, until: number) => paused.push([host, until > Date.now()]);
    const upstream = await start({}, {}, { onFailing });
    fake.faults.add({ status: 503 });
    for (let i = 0; i < 5; i++) await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_PAUSED', status: 503, retryAfter: 2 });
    expect(fake.requests.length).toBe(5);
    expect(paused).toEqual([[fake.host, true]]);
  });
});

describe('limits', () => {
  it('asks no more than so many things at a time, to the ends of their bodies', async () => {
    const upstream = await start({}, { limits: { concurrency: 2 } });
    const blob = fake.addBlob('a/b', { size: 200_000, seed: 1 });
    const bodies = [0, 1].map(() => upstream.getBlob({ upstream: fake.host, path: 'a/b' }, blob.digest as never));
    const [first] = await Promise.all(bodies);
    const third = get(upstream);
    await new Promise((resolve) => setImmediate(resolve));
    expect(fake.requests.length).toBe(2);
    first!.abort();
    await third;
    expect(fake.requests.length).toBe(3);
    // A challenge is answered within the place that is held already.
    fake.auth = { scheme: 'bearer' };
    (await bodies[1]!).abort();
    for (let i = 0; i < 4; i++) await get(upstream);
  });
});

describe('B45: TLS', () => {
  it('trusts the configured authority, and no other unless told so', async () => {
    const upstream = await start({ tls: true }, {});
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502 });
    const { ca } = fake.certificates!;
    await get(client({ registries: [{ name: fake.host, tls: { ca } }] }));
    await get(client({ registries: [{ name: fake.host, tls: { insecureSkipVerify: true } }] }));
    const another = makeCertificates().ca;
    await expect(get(client({ registries: [{ name: fake.host, tls: { ca: another } }] }))).rejects.toMatchObject({
      reason: 'UPSTREAM_ERROR',
    });
  });

  it('shows its client certificate', async () => {
    const upstream = await start({ tls: true, clientCertificates: true }, { tls: { insecureSkipVerify: true } });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    const { ca, clientCert: cert, clientKey: key } = fake.certificates!;
    await get(client({ registries: [{ name: fake.host, tls: { ca, cert, key } }] }));
  });

  it('does not show its client certificate where a redirect leads', async () => {
    const certificates = makeCertificates();
    fake = await startFakeUpstream({ tls: certificates, clientCertificates: true });
    const other = await startFakeUpstream({ tls: certificates, clientCertificates: true, content: fake.content });
    const { ca, clientCert: cert, clientKey: key } = certificates;
    fake.addImage({ repository: 'a/b' });
    const tls = { ca, cert, key };
    const upstream = client({
      registries: [
        { name: fake.host, tls },
        { name: other.host, tls },
      ],
    });
    try {
      await get(upstream, other.host);
      fake.faults.add({ redirect: (path) => other.url + path });
      await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
      expect(other.requests.length).toBe(1);
    } finally {
      await other.stop();
    }
  });
});

describe('C28-C30: addresses', () => {
  it('C30: a name that nobody configured and that resolves to a private address is not connected to', async () => {
    fake = await startFakeUpstream({ tls: true });
    for (const addresses of [['127.0.0.1'], ['::1', '127.0.0.1'], ['::ffff:127.0.0.1'], ['169.254.169.254']]) {
      const { lookup, asked } = resolving(...addresses);
      const upstream = client({ allowUnlisted: true, lookup });
      const host = `registry.example.com:${fake.port}`;
      await expect(get(upstream, host)).rejects.toMatchObject({
        reason: 'UPSTREAM_ERROR',
        status: 502,
        retryable: false,
      });
      expect(asked).toEqual(['registry.example.com']);
    }
    expect(fake.connections).toBe(0);
  });

  const withIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
  (withIpv6 ? it : it.skip)('an upstream may have an address of IPv6, as its name or behind one', async () => {
    const upstream = await start({ address: '::1' });
    expect(fake.host).toMatch(/^\[::1\]:/);
    await get(upstream);
    const { lookup } = resolving('::1');
    const host = `registry.example.com:${fake.port}`;
    await get(client({ registries: [{ name: host, scheme: 'http' }], lookup }), host);
  });

  it('where one address of a name does not answer, another one does', async () => {
    fake = await startFakeUpstream();
    fake.addImage({ repository: 'a/b' });
    const host = `registry.example.com:${fake.port}`;
    for (const lost of ['::1', '127.0.0.2']) {
      const { lookup } = resolving(lost, '127.0.0.1');
      await get(client({ registries: [{ name: host, scheme: 'http' }], lookup }), host);
    }
  });

  it('a name that has moved is asked for as soon as nobody answers at its old address', async () => {
    fake = await startFakeUpstream();
    fake.addImage({ repository: 'a/b' });
    const host = `registry.example.com:${fake.port}`;
    let address = '127.0.0.2';
    const lookup: LookupFunction = (_, _options, callback) => callback(null, [{ address, family: 4 }]);
    const upstream = client({ registries: [{ name: host, scheme: 'http' }], lookup });
    await expect(get(upstream, host)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', retryable: true });
    address = '127.0.0.1';
    await get(upstream, host);
  });

  it('names are resolved once for many connections, and judged at each', async () => {
    fake = await startFakeUpstream();
    fake.addImage({ repository: 'a/b' });
    const { lookup, asked } = resolving('127.0.0.1');
    const host = `registry.example.com:${fake.port}`;
    const upstream = client({ registries: [{ name: host, scheme: 'http' }], lookup });
    fake.faults.add({ delay: 50 });
    await Promise.all(Array.from({ length: 8 }, () => get(upstream, host)));
    expect([fake.connections > 1, asked.length]).toEqual([true, 1]);
    fake.faults.clear();
    fake.faults.add({ path: /manifests/, redirect: `http://registry.example.com:${fake.port + 1}/x` });
    for (let i = 0; i < 2; i++) {
      const refused = { reason: 'UPSTREAM_ERROR', retryable: false };
      await expect(get(upstream, host)).rejects.toMatchObject(refused);
    }
  });

  it('a well-known registry is no exception', async () => {
    const { lookup } = resolving('10.0.0.1');
    await expect(get(client({ lookup }), 'ghcr.io')).rejects.toMatchObject({
      reason: 'UPSTREAM_ERROR',
      retryable: false,
    });
  });

  it('a configured name may have any address', async () => {
    fake = await startFakeUpstream();
    fake.addImage({ repository: 'a/b' });
    const { lookup } = resolving('127.0.0.1');
    const host = `registry.example.com:${fake.port}`;
    await get(client({ registries: [{ name: host, scheme: 'http' }], lookup }), host);
  });

  it.each([
    'http://metadata.example/latest',
    'http://169.254.169.254/latest',
    'http://[::1]/',
    'http://2130706433/',
    'http://localhost/',
  ])('C29: a redirect to %s is refused', async (redirect) => {
    const { lookup } = resolving('169.254.169.254');
    const upstream = await start({}, {}, { lookup });
    fake.faults.add({ redirect });
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502, retryable: false });
  });

  it('a realm whose name resolves to a private address is refused', async () => {
    const { lookup, asked } = resolving('127.0.0.1');
    const upstream = await start({ auth: { scheme: 'bearer' } }, { auth: { user: 'u', password: 'p' } }, { lookup });
    fake.auth = { scheme: 'bearer', realm: `http://auth.example.com:${fake.port}/token` };
    await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', retryable: false });
    expect(asked).toEqual(['auth.example.com']);
    expect(fake.requests.count({ path: /token/ })).toBe(0);
  });

  it('refused addresses do not pause the upstream', async () => {
    const upstream = await start();
    fake.faults.add({ redirect: 'http://127.0.0.1:1/', times: 10 });
    for (let i = 0; i < 10; i++) await expect(get(upstream)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    await get(upstream);
  });
});
