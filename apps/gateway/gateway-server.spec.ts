import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { eventually } from '../../test/support/eventually.js';
import { RawConnection } from '../../test/support/raw.js';
import { type Certificates, makeCertificates } from '../../test/support/upstream/index.js';
import { sendFailure } from './failure-response.js';
import { GatewayServer } from './gateway-server.js';
import type { Exchange, PullApi } from './pull-api.js';

const log = { debug: () => {}, info: () => {}, warn: jest.fn(), error: () => {} };
const api = { handle: (_, res) => void res.end('ok') } as PullApi;

function ask(request: typeof httpRequest | typeof httpsRequest, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', agent: false, ...options }, (res) => {
      res.resume();
      res.on('end', () => resolve(res.statusCode ?? 0));
    });
    req.on('error', reject).end();
  });
}

describe('plain', () => {
  const server = new GatewayServer(api, log);
  let port: number;
  beforeAll(async () => {
    port = await server.listen(0, '127.0.0.1');
  });
  afterAll(() => server.stop(100));

  it('A8: a TLS hello is answered with 400 or a close, at once', async () => {
    const connection = await RawConnection.open(`http://127.0.0.1:${port}`);
    connection.send(Buffer.from('160301020001000000', 'hex'));
    const answer = (await connection.closed()).toString('latin1');
    expect(answer === '' || answer.startsWith('HTTP/1.1 400')).toBe(true);
  });

  it('A76: takes 20 KB of headers, and refuses 100 KB with 431', async () => {
    expect(await ask(httpRequest, { port, headers: { range: `bytes=${'0-1,'.repeat(5000)}5-6` } })).toBe(200);
    const connection = await RawConnection.open(`http://127.0.0.1:${port}`);
    connection.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`);
    expect((await connection.answer()).status).toBe(431);
    await connection.closed();
  });
});

const IMPATIENT = { headersTimeout: 200, connectionsCheckingInterval: 20 };

/** Headers that never end, and a body that takes many times as long as headers may. */
async function slowness(open: () => Promise<RawConnection>, answers: ServerResponse[]): Promise<void> {
  const whole = await open();
  whole.send('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
  await eventually(async () => expect(answers).toHaveLength(1));
  answers[0]!.writeHead(200, ['content-length', '8']).write('half');
  for (let n = 0; n < 3; n++) {
    const slow = await open();
    slow.send('GET /v2/ HTTP/1.1\r\nX: ');
    expect((await slow.closed()).toString('latin1')).toMatch(/^$|^HTTP\/1\.1 4\d\d /);
  }
  answers[0]!.end('half');
  expect((await whole.answer()).body.toString()).toBe('halfhalf');
  whole.close();
}

it('A118: headers that never end are cut, and a body may take as long as it takes', async () => {
  const answers: ServerResponse[] = [];
  const server = new GatewayServer(
    { handle: (_, res) => void answers.push(res) } as PullApi,
    log,
    undefined,
    IMPATIENT,
  );
  const url = `http://127.0.0.1:${await server.listen(0, '127.0.0.1')}`;
  await slowness(() => RawConnection.open(url), answers);
  await server.stop(100);
});

describe('bytes that are no HTTP behind a request', () => {
  let answers: ServerResponse[];
  const held = new GatewayServer({ handle: (_, res) => void answers.push(res) } as PullApi, log);
  let connection: RawConnection;
  let port: number;
  beforeAll(async () => {
    port = await held.listen(0, '127.0.0.1');
  });
  beforeEach(async () => {
    answers = [];
    connection = await RawConnection.open(`http://127.0.0.1:${port}`);
  });
  afterAll(() => held.stop(100));
  const one = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n';
  const begin = async (count: number) => {
    await eventually(async () => expect(answers).toHaveLength(count));
    for (const res of answers) res.writeHead(200, ['content-length', '8']).write('half');
  };

  it('are refused after the answers under way, never inside one', async () => {
    connection.send(one + one);
    await begin(2);
    connection.send('\0\r\n\r\n');
    // Twice, so that what comes behind is read as well if anything is.
    connection.send('\0\r\n\r\n');
    await new Promise((resolve) => setImmediate(resolve));
    for (const res of answers) res.end('half');
    for (const _ of answers) expect((await connection.answer()).body.toString()).toBe('halfhalf');
    expect((await connection.answer()).status).toBe(400);
    expect((await connection.closed()).length).toBe(0);
  });

  it('are nothing after Connection: close', async () => {
    connection.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n${one}`);
    await begin(1);
    answers[0]!.end('half');
    expect((await connection.answer()).body.toString()).toBe('halfhalf');
    expect((await connection.closed()).length).toBe(0);
  });
});

describe('TLS', () => {
  let directory: string;
  let certificates: Certificates;
  const paths = () => ({ cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') });
  const write = ({ cert, key }: Certificates) => {
    writeFileSync(paths().cert, cert);
    writeFileSync(paths().key, key);
  };
  let server: GatewayServer;
  let port: number;
  const start = async (
    of: PullApi,
    options: { ca?: string; verify?: boolean } = {},
    timeouts: Partial<typeof IMPATIENT> = {},
  ) => {
    server = new GatewayServer(of, log, { ...paths(), verify: false, lookMs: 20, ...options }, timeouts);
    port = await server.listen(0, '127.0.0.1');
  };
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gateway-tls-'));
    certificates = makeCertificates();
    write(certificates);
    log.warn.mockClear();
  });
  afterEach(async () => {
    await server.stop(100);
    rmSync(directory, { recursive: true });
  });

  it('serves everybody, or with `verify` those who have a certificate', async () => {
    const { ca, clientCert, clientKey } = certificates;
    await start(api);
    expect(await ask(httpsRequest, { port, ca })).toBe(200);
    await server.stop(100);
    writeFileSync(join(directory, 'ca.crt'), ca);
    await start(api, { ca: join(directory, 'ca.crt'), verify: true });
    await expect(ask(httpsRequest, { port, ca })).rejects.toThrow();
    expect(await ask(httpsRequest, { port, ca, cert: clientCert, key: clientKey })).toBe(200);
  });

  it('A8: plain HTTP is answered with a close', async () => {
    await start(api);
    const connection = await RawConnection.open(`http://127.0.0.1:${port}`);
    connection.send('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await connection.closed();
  });

  it('A76, A117: takes long headers over TLS and keeps idle connections', async () => {
    await start(api);
    const { ca } = certificates;
    expect(await ask(httpsRequest, { port, ca, headers: { range: `bytes=${'0-1,'.repeat(5000)}5-6` } })).toBe(200);
    const keep = await new Promise<unknown>((resolve, reject) => {
      const options = { host: '127.0.0.1', port, ca, headers: { connection: 'keep-alive' }, agent: false } as const;
      httpsRequest(options, (res) => {
        res.resume();
        resolve(res.headers['keep-alive']);
      })
        .on('error', reject)
        .end();
    });
    expect(keep).toBe('timeout=130');
  });

  it('A118: headers that never end are cut here too, and no body is', async () => {
    const answers: ServerResponse[] = [];
    await start({ handle: (_, res) => void answers.push(res) } as PullApi, {}, IMPATIENT);
    const { ca } = certificates;
    await slowness(() => RawConnection.open(`https://127.0.0.1:${port}`, { ca }), answers);
  });

  it('A121: speaks HTTP/2, and a body that fails ends its stream alone', async () => {
    await start({
      handle: (req, res) => {
        const raw = ['content-type', 'text/plain', 'content-length', '4'];
        if (req.url === '/whole') res.writeHead(200, raw).end('body');
        else
          res
            .writeHead(200, raw)
            .write('bo', () => sendFailure({ req, res } as unknown as Exchange, undefined as never));
      },
    } as PullApi);
    const client = connectHttp2(`https://127.0.0.1:${port}`, { ca: certificates.ca });
    const get = (path: string) =>
      new Promise<{ type: unknown; body: string }>((resolve, reject) => {
        const stream = client.request({ ':path': path });
        let body = '';
        let type: unknown;
        stream.on('response', (headers) => {
          type = headers['content-type'];
        });
        stream.on('data', (chunk) => {
          body += chunk;
        });
        stream.on('end', () => resolve({ type, body }));
        stream.on('error', reject);
      });
    expect(await get('/whole')).toEqual({ type: 'text/plain', body: 'body' });
    await expect(get('/broken')).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    expect(await get('/whole')).toEqual({ type: 'text/plain', body: 'body' });
    // A session that is open and idle does not hold the server up.
    await server.stop(60_000);
    client.close();
  });

  it('reloads certificates that have changed, and keeps the old ones while they do not fit', async () => {
    await start(api);
    const served = () =>
      new Promise<string>((resolve, reject) => {
        const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const first = await served();
    const next = makeCertificates();
    writeFileSync(paths().cert, next.cert);
    while (log.warn.mock.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await served()).toBe(first);
    writeFileSync(paths().key, next.key);
    let now = first;
    while (now === first) now = await served();
    expect(await ask(httpsRequest, { port, ca: next.ca })).toBe(200);
  });
});
