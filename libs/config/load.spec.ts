import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KEYS } from './keys.js';
import { type LoadOptions, load } from './load.js';
import type { Machine } from './resolve.js';

const machine: Machine = { os: 'linux', arch: 'arm64', root: false, home: '/home/ada', address: '192.0.2.7' };
const SHARED = {
  OCIREGISTRY_METADATA_URL: 'postgres://u:p@db/r',
  OCIREGISTRY_BUS_NATS: 'nats://bus:4222',
  OCIREGISTRY_BLOBS_S3_BUCKET: 'images',
};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function write(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}
const config = (options: LoadOptions = {}) => load({ machine, ...options }).config;

describe('defaults', () => {
  it('stand alone', () => {
    expect(config()).toMatchObject({
      stack: 'standalone',
      port: 8080,
      host: '0.0.0.0',
      adminPort: 8081,
      admin: { host: '127.0.0.1' },
      logLevel: 'info',
      os: 'linux',
      arch: 'arm64',
      defaultNs: 'docker.io',
      pullTimeout: 60_000,
      pulls: { lease: 10_000, unreadFor: 60_000, minRate: 1024, minRateOver: 30_000 },
      tags: { fresh: 60_000, stale: 86_400_000 },
      cache: { maxSize: { percent: 80 }, protect: 600_000 },
      prefetch: { enabled: true, platforms: [] },
      upstreams: { allowUnlisted: false },
      registries: [],
    });
    expect(load({ machine }).warnings).toEqual([]);
  });

  it.each<[string, Partial<Machine>, Record<string, string>, string]>([
    ['root', { root: true }, { XDG_DATA_HOME: '/x' }, '/var/lib/ociregistry'],
    ['others', {}, {}, '/home/ada/.local/share/ociregistry'],
    ['others with XDG', {}, { XDG_DATA_HOME: '/x' }, '/x/ociregistry'],
  ])('put the data of %s where it belongs', (_, part, env, dataDir) => {
    const found = config({ machine: { ...machine, ...part }, env });
    expect([found.dataDir, found.blobs.filesystem?.path, found.spool.path]).toEqual([
      dataDir,
      `${dataDir}/blobs`,
      `${dataDir}/spool`,
    ]);
  });

  it('make relative directories absolute', () =>
    expect(config({ flags: { imagePath: './data' } }).dataDir).toBe(join(process.cwd(), 'data')));

  it.each<[string, object]>([
    ['', { host: '192.0.2.7', port: 8082 }],
    ['puller-1', { host: 'puller-1', port: 8082 }],
    ['puller-1:9', { host: 'puller-1', port: 9 }],
    ['[2001:db8::1]:9', { host: '2001:db8::1', port: 9 }],
  ])('complete relay.advertise %j', (advertise, expected) => {
    expect(config({ env: { OCIREGISTRY_RELAY_ADVERTISE: advertise } }).relay.advertise).toEqual(expected);
  });

  it('cannot be changed afterwards', () => {
    const found = config({ env: { OCIREGISTRY_PREFETCH_PLATFORMS: 'linux/amd64' } });
    expect(Object.isFrozen(found) && Object.isFrozen(found.tags) && Object.isFrozen(found.prefetch.platforms)).toBe(
      true,
    );
  });
});

describe('layers', () => {
  it('read the file below the environment below the flags', () => {
    const file = write('layers.yaml', 'port: 1\nhost: a\nlogLevel: debug\nadmin: {host: h}\n');
    const env = { OCIREGISTRY_PORT: '2', OCIREGISTRY_HOST: 'b', OCIREGISTRY_ADMIN_TOKEN: 't' };
    expect(config({ file, env, flags: { port: '3', logFile: undefined } })).toMatchObject({
      port: 3,
      host: 'b',
      logLevel: 'debug',
      admin: { host: 'h', token: 't' },
      configFile: file,
    });
  });

  it('take the file that the environment names', () => {
    const OCIREGISTRY_CONFIG_FILE = write('named.yaml', 'port: 4\n');
    expect(config({ env: { OCIREGISTRY_CONFIG_FILE } }).port).toBe(4);
  });

  it('let a higher secret replace every form of a lower one', () => {
    const file = write('secret.yaml', 'admin: {tokenFromEnv: NOT_SET}\n');
    expect(config({ file, env: { OCIREGISTRY_ADMIN_TOKEN: 'x' } }).admin).toEqual({ host: '127.0.0.1', token: 'x' });
  });

  it('let a higher imagePath replace a lower dataDir, and dataDir win within a layer', () => {
    const file = write('paths.yaml', 'dataDir: /a\nimagePath: /b\n');
    expect(config({ file }).dataDir).toBe('/a');
    expect(config({ file, flags: { imagePath: '/c' } }).dataDir).toBe('/c');
  });

  it('take an empty key as none, except that an empty defaultNs switches it off', () => {
    const file = write('empty.yaml', 'defaultNs:\nlogFile: ""\nmetadata: {url: ""}\nhealth:\nadmin:\n');
    expect(config({ file })).toMatchObject({
      defaultNs: '',
      stack: 'standalone',
      health: undefined,
      admin: { host: '127.0.0.1' },
    });
    expect(config({ file, env: { OCIREGISTRY_DEFAULT_NS: 'ghcr.io' } }).defaultNs).toBe('ghcr.io');
    expect(config({ env: { OCIREGISTRY_DEFAULT_NS: '' } }).defaultNs).toBe('');
  });

  it('understand anchors and merge keys', () => {
    const file = write('anchors.yaml', 'registries:\n  - &a {name: a.b, scheme: http}\n  - {<<: *a, name: c.d}\n');
    expect(config({ file }).registries.map(({ name, scheme }) => [name, scheme])).toEqual([
      ['a.b', 'http'],
      ['c.d', 'http'],
    ]);
  });

  it('let a flag switch off what the file switched on', () => {
    const file = write('on.yaml', 'airGapped: true\n');
    expect(config({ file, flags: { airGapped: 'false' } }).airGapped).toBe(false);
  });
});

describe('the environment', () => {
  it('has a name of its own for every key', () => {
    const names = [...KEYS.values()].flatMap((key) => key.variable ?? []);
    expect(new Set(names).size).toBe(names.length);
    expect(KEYS.get('blobs.s3.accessKey')?.variable).toBe('OCIREGISTRY_BLOBS_S3_ACCESS_KEY');
    expect(KEYS.get('preloadImages')?.variable).toBe('OCIREGISTRY_PRELOAD_IMAGES');
  });

  it('takes lists with commas or as JSON, and sections as JSON', () => {
    const env = {
      OCIREGISTRY_PREFETCH_PLATFORMS: 'linux/amd64, linux/arm64',
      OCIREGISTRY_CACHE_KEEP: '["a,b"]',
      OCIREGISTRY_REGISTRIES: '[{"name":"a.b","scheme":"http"}]',
      OCIREGISTRY_TAGS: '{"fresh":"5s"}',
      OCIREGISTRY_TAGS_STALE: '6s',
      OCIREGISTRY_TRUST_PROXY: '10.0.0.0/8',
      OCIREGISTRY_AIR_GAPPED: '1',
    };
    expect(config({ env })).toMatchObject({
      prefetch: { platforms: ['linux/amd64', 'linux/arm64'] },
      cache: { keep: ['a,b'] },
      registries: [{ name: 'a.b', scheme: 'http' }],
      tags: { fresh: 5_000, stale: 6_000 },
      trustProxy: ['10.0.0.0/8'],
      airGapped: true,
    });
  });

  it.each<[string, readonly string[]]>([
    ['nats://a:1,nats://b:2', ['nats://a:1', 'nats://b:2']],
    ['["nats://a:1"]', ['nats://a:1']],
    ['{"servers":["nats://a:1"]}', ['nats://a:1']],
  ])('takes bus.nats as %s, with its other keys beside it', (value, servers) => {
    const env = { ...SHARED, OCIREGISTRY_BUS_NATS: value, OCIREGISTRY_BUS_NATS_REPLICAS: '3' };
    expect(config({ env }).bus.nats).toMatchObject({ servers, replicas: 3 });
  });

  it('leaves alone what Kubernetes sets for a Service called ociregistry', () => {
    const env = {
      OCIREGISTRY_PORT: 'tcp://10.0.0.1:8080',
      OCIREGISTRY_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      OCIREGISTRY_PORT_8080_TCP_ADDR: '10.0.0.1',
      OCIREGISTRY_SERVICE_HOST: '10.0.0.1',
      OCIREGISTRY_SERVICE_PORT: '8080',
      OCIREGISTRY_SERVICE_PORT_HTTP: '8080',
      OCIREGISTRY_ADMIN_PORT: 'tcp://10.0.0.2:8081',
      OCIREGISTRY_ADMIN_SERVICE_HOST: '10.0.0.2',
      OCIREGISTRY_TEST_ANYTHING: 'x',
    };
    expect(config({ env })).toMatchObject({ port: 8080, adminPort: 8081 });
  });
});

describe('secrets', () => {
  it('come from variables and files', () => {
    const file = write(
      'refs.yaml',
      `admin: {tokenFromFile: ${write('token', 'from file\n')}}\nregistries: [{name: a.b, auth: {user: u, passwordFromEnv: OCIREGISTRY_HUB}}]\n`,
    );
    const found = config({ file, env: { OCIREGISTRY_HUB: 'from env' } });
    expect(found.admin).toEqual({ host: '127.0.0.1', token: 'from file' });
    expect(found.registries[0]!.auth).toEqual({ user: 'u', password: 'from env' });
  });
});

describe('the stack', () => {
  it('is standalone with none of the shared parts and distributed with all, in any role', () => {
    expect(config().stack).toBe('standalone');
    for (const role of ['all', 'gateway', 'puller', 'admin'] as const) {
      const found = config({ role, env: SHARED });
      expect(found).toMatchObject({
        stack: 'distributed',
        blobs: { s3: { bucket: 'images', region: 'us-east-1', pathStyle: true } },
      });
      expect(found.blobs.filesystem).toBeUndefined();
      expect(found.cache.maxSize).toBeUndefined();
    }
  });

  it('may use one number for ports of different roles', () => {
    const env = { ...SHARED, OCIREGISTRY_RELAY_PORT: '8080' };
    expect(config({ role: 'puller', env }).relay.port).toBe(8080);
    expect(config({ role: 'gateway', env }).port).toBe(8080);
    expect(() => config({ role: 'all', env })).toThrow('relay.port: "8080": the same port as port');
  });
});

describe('keys without effect', () => {
  it('are told of once each', () => {
    const file = write('idle.yaml', 'configFile: x\n');
    expect(load({ file, machine }).warnings).toEqual(['configFile: has no effect inside the file']);
  });
});
