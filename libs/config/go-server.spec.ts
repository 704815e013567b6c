import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { jsonSchema, load } from './index.js';

const day = 86_400_000;

describe('a configuration file of the Go server 1.17', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'config-'));
    for (const name of ['ca.pem', 'cert.pem', 'key.pem', 'list']) writeFileSync(join(directory, name), name);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const text = () => `---
imagePath: /srv/images
logLevel: WARN
logFile:
configFile:
preloadImages: ${directory}/list
imageFile: /not/here
port: 9080
host: 127.0.0.1
os: linux
arch: arm64
pullTimeout: 45000
health: 9081
metrics: 9082
alwaysPullLatest: yes
airGapped: off
helloWorld: false
defaultNs: quay.io
resolveRef: true
registries:
  - name: registry.example.org:8888
    description: credentials and a port
    scheme: https
    auth: {user: 4711, password: 0123}
    tls: {}
  - name: localhost:5000
    scheme: http
    auth: {}
  - name: env.example.org
    auth:
      user: reader
      passwordFromEnv: READER_PASSWORD
  - name: index.docker.io
    tls:
      ca: ${directory}/ca.pem
      cert: ${directory}/cert.pem
      key: ${directory}/key.pem
      insecureSkipVerify: true
    opts: {ostype: linux}
  - name: 111122223333.dkr.ecr.eu-west-1.amazonaws.com
    auth:
      token: {provider: ECR, providerOpts: 'profile=default,region=eu-west-1', expiry: 6h}
pruneConfig:
  enabled: true
  duration: 30d
  type: accessed
  expr: ''
  frequency: 1d
  count: -1
  dryrun: true
listConfig:
  header: true
  expr:
serverTlsConfig:
  cert: ${directory}/cert.pem
  key: ${directory}/key.pem
  ca: ${directory}/ca.pem
  clientAuth: verify
`;

  const read = () => {
    const file = join(directory, 'config.yaml');
    writeFileSync(file, text());
    return load({ file, env: { READER_PASSWORD: 'sesame' } });
  };

  it('keeps its meaning', () => {
    const { config } = read();
    expect(config).toMatchObject({
      stack: 'standalone',
      dataDir: '/srv/images',
      blobs: { filesystem: { path: '/srv/images/blobs' } },
      logLevel: 'warn',
      port: 9080,
      host: '127.0.0.1',
      os: 'linux',
      arch: 'arm64',
      pullTimeout: 45_000,
      health: 9081,
      metrics: 9082,
      alwaysPullLatest: true,
      airGapped: false,
      helloWorld: false,
      defaultNs: 'quay.io',
      pruneConfig: { enabled: true, duration: 30 * day, type: 'accessed', frequency: day, count: -1, dryRun: true },
      serverTlsConfig: { cert: `${directory}/cert.pem`, clientAuth: 'verify' },
    });
    expect(config.logFile).toBeUndefined();
    expect(config.registries).toMatchObject([
      { name: 'registry.example.org:8888', scheme: 'https', auth: { user: '4711', password: '0123' } },
      { name: 'localhost:5000', scheme: 'http', auth: {} },
      { name: 'env.example.org', auth: { user: 'reader', password: 'sesame' } },
      { name: 'index.docker.io', tls: { ca: `${directory}/ca.pem`, insecureSkipVerify: true } },
      { auth: { token: { provider: 'ecr', expiry: day / 4 } } },
    ]);
    expect(config.registries[2]!.auth).not.toHaveProperty('passwordFromEnv');
  });

  it('warns of what has no effect, and only of that', () => {
    expect(read().warnings.every((warning) => warning.endsWith('accepted, has no effect in this version'))).toBe(true);
  });

  it('is valid by the JSON schema, too', () => {
    // What YAML 1.2 takes as text or number where Go takes a boolean or text is the loader's business.
    const strict = text()
      .replace('yes', 'true')
      .replace('off', 'false')
      .replace('4711', "'4711'")
      .replace('0123', "'0123'");
    expect(z.fromJSONSchema(jsonSchema()).safeParse(parse(strict)).error).toBeUndefined();
  });

  it('starts with the port that the chart gives to health', () => {
    const { config, warnings } = load({ flags: { health: '8081', metrics: '8082' } });
    expect([config.health, config.metrics, config.adminPort]).toEqual([8081, 8082, 8083]);
    expect(warnings).toEqual(['adminPort: 8081 is taken by another key, so it is 8083']);
  });

  it('may be the documented defaults', () => {
    const file = join(directory, 'defaults.yaml');
    writeFileSync(
      file,
      'imagePath: /var/lib/ociregistry\nlogLevel: error\nlogFile:\npreloadImages:\nimageFile:\nport: 8080\npullTimeout: 60000\nalwaysPullLatest: false\nairGapped: false\nhelloWorld: false\nhealth:\nregistries: []\npruneConfig:\n  enabled: false\nserverTlsConfig: {}\n',
    );
    expect(load({ file }).config).toMatchObject({
      dataDir: '/var/lib/ociregistry',
      logLevel: 'error',
      port: 8080,
      health: undefined,
    });
  });
});
