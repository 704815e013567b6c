import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.js';
import { type RawAnswer, RawConnection } from '../support/raw.js';
import { type Installation, install, stacks } from '../support/servers.js';
import {
  bytesOf,
  type Certificates,
  type FakeUpstream,
  makeCertificates,
  startFakeUpstream,
} from '../support/upstream/index.js';

jest.setTimeout(240_000);

/** Of HTTP/1.1 alone. */
const CONNECTION = ['connection', 'keep-alive'];

describe.each(stacks())('TLS at the edge of the %s stack, for clients with a certificate', (name) => {
  let directory: string;
  let certificates: Certificates;
  let upstream: FakeUpstream;
  let system: Installation;
  let base: string;

  const write = ({ ca, cert, key }: Certificates) => {
    for (const [file, pem] of Object.entries({ ca, cert, key })) writeFileSync(join(directory, file), pem);
  };
  const mine = ({ ca, clientCert: cert, clientKey: key } = certificates) => ({ ca, cert, key });

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-tls-'));
    certificates = makeCertificates();
    write(certificates);
    upstream = await startFakeUpstream();
    const at = (file: string) => join(directory, file);
    system = await install(name, [upstream.host], {
      defaultNs: upstream.host,
      serverTlsConfig: { cert: at('cert'), key: at('key'), ca: at('ca'), clientAuth: 'verify' },
    });
    base = system.gateways[0]!.url.replace('http:', 'https:');
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function http1(target: string, method = 'GET'): Promise<RawAnswer> {
    const connection = await RawConnection.open(base, mine());
    connection.send(`${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await connection.answer({ head: method === 'HEAD' });
    connection.close();
    return answer;
  }

  function http2(session: ClientHttp2Session, target: string, headers: Record<string, string> = {}) {
    return new Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
      const stream = session.request({ ':path': target, ...headers });
      const chunks: Buffer[] = [];
      let got: IncomingHttpHeaders = {};
      stream.on('response', (all) => {
        got = all;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('end', () =>
        resolve({ status: Number(got[constants.HTTP2_HEADER_STATUS]), headers: got, body: Buffer.concat(chunks) }),
      );
    });
  }

  it('A121: an image comes over one HTTP/2 connection, cold and warm, as it does over HTTP/1.1', async () => {
    const { root, images } = upstream.addImage({ repository: 'secure', tag: 'v1', layers: [70_000, 3 * 2 ** 20] });
    const parts = [images[0]!.config, ...images[0]!.layers];
    const session = connect(base, mine());
    try {
      for (let round = 0; round < 2; round++) {
        const manifest = await http2(session, '/v2/secure/manifests/v1');
        expect([manifest.status, manifest.body.equals(root.bytes)]).toEqual([200, true]);
        const answers = await Promise.all(parts.map(({ digest }) => http2(session, `/v2/secure/blobs/${digest}`)));
        for (const [i, { status, body }] of answers.entries())
          expect([status, body.equals(bytesOf(parts[i]!))]).toEqual([200, true]);
      }
      const target = `/v2/secure/blobs/${parts[1]!.digest}`;
      const part = await http2(session, target, { range: 'bytes=5-9' });
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 5-9/${parts[1]!.size}`]);
      for (const each of ['/v2/', '/v2/secure/manifests/v1', target, '/v2/secure/manifests/none', '/v2/A/tags/list']) {
        const [one, two] = [await http1(each), await http2(session, each)];
        const without = (pairs: readonly (readonly [string, unknown])[]) =>
          Object.fromEntries(
            pairs
              .map(([key, value]) => [key.toLowerCase(), String(value)])
              .filter(([key]) => !/^(:status|date|server-timing)$/.test(key!) && !CONNECTION.includes(key!)),
          );
        expect([two.status, two.body.equals(one.body), without(Object.entries(two.headers))]).toEqual([
          one.status,
          true,
          without(one.headers),
        ]);
      }
      const head = await http2(session, target, { ':method': 'HEAD' });
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(parts[1]!.size), 0]);
    } finally {
      session.close();
    }
  });

  it('who has no certificate, or one of somebody else, is refused', async () => {
    const { ca } = certificates;
    for (const tls of [{ ca }, { ...mine(makeCertificates()), ca }]) {
      const connection = await RawConnection.open(base, tls).catch(() => undefined);
      connection?.send('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
      expect((await connection?.closed())?.length ?? 0).toBe(0);
    }
  });

  it('a new certificate is taken without a restart, and connections that are open stay', async () => {
    const old = await RawConnection.open(base, mine());
    const next = makeCertificates();
    write(next);
    certificates = next;
    await eventually(async () => expect((await http1('/v2/')).body.toString()).toBe('{}'));
    old.send('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await old.answer()).body.toString()).toBe('{}');
    old.close();
  });
});
