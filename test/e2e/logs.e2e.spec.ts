import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, MAIN, stacks } from '../support/servers.js';
import { freePort } from '../support/services/index.js';
import { type FakeUpstream, type MadeImage, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

type Line = Record<string, unknown>;

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

/** Every way in which a text might be found in a log. */
const formsOf = (secret: string) => [
  secret,
  encodeURIComponent(secret),
  Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  JSON.stringify(secret).slice(1, -1),
];

describe.each(stacks())('the log on the %s stack', (name) => {
  const user = 'puller';
  const password = 'upstream-pass/word+1';
  const adminToken = 'admin-token-secret-2';
  const hookSecret = 'hook-secret-11';
  /** What clients and upstreams send and nobody may read later. */
  const sent = {
    clientToken: 'client-bearer-token-3',
    clientPassword: 'client-password-4',
    urlToken: 'token-in-a-url-5',
    signature: 'presigned-signature-6',
    credential: 'presigned-credential-7',
    session: 'presigned-session-8',
    wrongToken: 'wrong-admin-token-9',
    wrongHook: 'wrong-hook-secret-10',
  };
  const tokens: string[] = [];
  let upstream: FakeUpstream;
  /** Where the upstream sends for blobs, as a registry with an object store does. */
  let storage: FakeUpstream;
  let system: Installation;
  let directory: string;
  let image: MadeImage;
  const file = () => join(directory, 'all.log');
  const log = () => readFileSync(file(), 'utf8');

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-log-'));
    chmodSync(directory, 0o755);
    upstream = await startFakeUpstream({ auth: { scheme: 'bearer', user, password } });
    storage = await startFakeUpstream({ content: upstream.content });
    const issue = upstream.tokens.issue.bind(upstream.tokens);
    upstream.tokens.issue = (...args) => {
      const token = issue(...args);
      tokens.push(token);
      return token;
    };
    image = upstream.addImage({ repository: 'team/app', tag: 'v1' }).images[0]!;
    system = await install(name, [], {
      registries: [
        { name: upstream.host, scheme: 'http', auth: { user, password } },
        { name: storage.host, scheme: 'http' },
      ],
      admin: { token: adminToken },
      hooks: { quay: { secret: hookSecret } },
      logLevel: 'trace',
      logFile: file(),
      accessLog: { hits: 0.5 },
    });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
    await storage?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const url = (path: string) => `${system.gateways[0]!.url}/v2/${upstream.host}/${path}`;

  it('follows one request from client to upstream by its id, and has a line for each', async () => {
    const headers = { authorization: `Bearer ${sent.clientToken}`, 'user-agent': 'tester/1' };
    expect((await get(url('team/app/manifests/v1'), { headers })).status).toBe(200);
    const layer = image.layers[0]!;
    expect((await get(url(`team/app/blobs/${layer.digest}`), { headers })).status).toBe(200);
    await eventually(async () => {
      const lines = linesOf(log());
      const line = lines.find(({ msg, kind }) => msg === 'request' && kind === 'manifest')!;
      expect(line).toMatchObject({
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        at: expect.stringMatching(/^\d{4}-.*Z$/),
        requestId: expect.stringMatching(/^[0-9a-f]{8}-\w+$/),
        method: 'GET',
        repository: `${upstream.host}/team/app`,
        reference: 'v1',
        status: 200,
        outcome: 'fetched',
        ms: expect.any(Number),
        client: '127.0.0.1',
        agent: 'tester/1',
      });
    });
    const failed = await get(url('team/app/manifests/none'), { headers });
    expect(failed.status).toBe(404);
    await eventually(async () => {
      const lines = linesOf(log());
      const access = lines.find(({ msg, reference }) => msg === 'request' && reference === 'none');
      expect(access).toMatchObject({ status: 404, reason: 'MANIFEST_UNKNOWN', level: 'info' });
      // The puller may be another process: the id has come with the message.
      const pull = lines.find(({ msg, requestId }) => msg === 'pull failed' && requestId === access!.requestId);
      expect(pull).toMatchObject({ key: expect.stringMatching(/^[0-9a-f]{40}$/), reason: 'MANIFEST_UNKNOWN' });
    });
    for (const line of linesOf(log()).filter(({ msg }) => /^(pull|transfer)/.test(String(msg))))
      expect(line).toMatchObject({ key: expect.any(String) });
  });

  it('holds no secret, wherever one was', async () => {
    const basic = Buffer.from(`${user}:${sent.clientPassword}`).toString('base64');
    const headers = { authorization: `Basic ${basic}` };
    const query = `?token=${sent.urlToken}&password=${sent.clientPassword}`;
    for (const path of ['/v2/', '/v2/token', '/nothing', `/v2/${upstream.host}/team/app/manifests/v1`])
      await get(system.gateways[0]!.url + path + query, { headers });

    // An object store behind the upstream, first working, then not.
    const signed = `X-Amz-Signature=${sent.signature}&X-Amz-Credential=${sent.credential}&X-Amz-Security-Token=${sent.session}`;
    upstream.faults.add({
      path: /\/blobs\//,
      redirect: (path) => `${storage.url}/storage/${path.split('/').at(-1)}?${signed}`,
    });
    const [first, second] = [1, 2].map((seed) => upstream.addBlob('team/app', { size: 10_000, seed }));
    expect((await get(url(`team/app/blobs/${first!.digest}`), { headers })).status).toBe(200);
    storage.faults.add({ status: 403, body: `<Error>${signed}</Error>` });
    expect((await get(url(`team/app/blobs/${second!.digest}`), { headers })).status).toBeGreaterThanOrEqual(400);
    upstream.faults.clear();

    // Tokens that are refused, and credentials that are wrong from now on.
    upstream.tokens.revokeAll();
    upstream.addImage({ repository: 'team/other', tag: 'v1' });
    expect((await get(url('team/other/manifests/v1'), { headers })).status).toBe(200);
    upstream.auth = { scheme: 'bearer', user, password: 'another' };
    upstream.tokens.revokeAll();
    upstream.addImage({ repository: 'team/third', tag: 'v1' });
    expect((await get(url('team/third/manifests/v1'), { headers })).status).toBeGreaterThanOrEqual(400);

    const admin = `${system.gateways[0]!.admin}/api/v1`;
    const call = (token: string) =>
      fetch(`${admin}/upstreams/${upstream.host}/resume?token=${sent.urlToken}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
      });
    expect((await call(sent.wrongToken)).status).toBe(401);
    await call(adminToken);
    const adminUrl = (await system.admin()).admin;
    const hook = (token: string) =>
      fetch(`${adminUrl}/api/v1/hooks/quay?token=${token}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
    expect((await hook(sent.wrongHook)).status).toBe(401);
    expect((await hook(hookSecret)).status).toBe(422);
    const shown = await (await fetch(`${admin}/config`)).text();
    await system.restartAll();

    const databasePassword = decodeURIComponent(new URL(system.databaseUrl).password);
    const secrets = {
      ...{ password, adminToken, hookSecret, ...sent, ...Object.fromEntries(tokens.entries()) },
      // The password of a database made for tests is a word that directories have in their names, too.
      database: name === 'standalone' ? databasePassword : `:${databasePassword}@`,
    };
    expect(tokens.length).toBeGreaterThan(1);
    const text = log();
    expect(linesOf(text).length).toBeGreaterThan(50);
    const found = Object.entries(secrets).filter(([, secret]) => formsOf(secret).some((form) => text.includes(form)));
    expect(found).toEqual([]);
    for (const secret of [password, adminToken]) expect(shown).not.toContain(secret);
  });
});

it('the log of a server whose services are away holds none of their secrets', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ociregistry-log-'));
  const secrets = ['pg-secret-1', 'nats-secret-2', 's3-secret-3', 's3-access-4'];
  const [pg, nats, s3, access] = secrets;
  const closed = await freePort();
  const file = join(directory, 'config.yaml');
  writeFileSync(
    file,
    stringify({
      port: await freePort(),
      adminPort: await freePort(),
      dataDir: directory,
      logLevel: 'trace',
      metadata: { url: `postgresql://someone:${pg}@127.0.0.1:${closed}/db` },
      bus: { nats: `nats://someone:${nats}@127.0.0.1:${closed}` },
      blobs: { s3: { endpoint: `http://127.0.0.1:${closed}`, bucket: 'bucket', accessKey: access, secretKey: s3 } },
    }),
  );
  const child = spawn(process.execPath, [MAIN, 'serve', '--role', 'gateway', '--config-file', file]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await eventually(async () => {
      for (const dependency of ['PostgreSQL', 'NATS', 'the blob store'])
        expect(output.split(`waiting for ${dependency}`).length).toBeGreaterThan(2);
    }, 60_000);
  } finally {
    child.kill();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
  for (const secret of secrets) for (const form of formsOf(secret)) expect(output).not.toContain(form);
});
