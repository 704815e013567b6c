import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { sleep } from '#async';
import { makeCertificates, randomBytes } from '../../../test/support/upstream/index.js';
import { BodyBroke, ObjectReader } from './object-reader.js';

const BODY = randomBytes(3_000_000, 1);
const whole: RequestListener = (_, res) => void res.writeHead(200, { 'content-length': BODY.length }).end(BODY);

describe('reading an object', () => {
  let reader: ObjectReader;
  const closers: (() => void)[] = [];
  beforeEach(() => {
    reader = new ObjectReader();
  });
  afterEach(() => {
    reader.close();
    for (const close of closers.splice(0)) close();
  });

  async function listening(server: Server | ReturnType<typeof createTcpServer>, protocol = 'http'): Promise<URL> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    return new URL(`${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}/bucket/key?signed=1`);
  }
  /** Answers every request with these raw pieces, `pause` ms apart, and then does what `after` says. */
  async function saying(pieces: readonly (string | Buffer)[], after: (socket: Socket) => void = () => {}, pause = 5) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      closers.push(() => socket.destroy());
      socket.on('data', async () => {
        for (const piece of pieces) {
          socket.write(piece);
          await sleep(pause);
        }
        after(socket);
      });
    });
    return listening(server);
  }
  /** Keeps copies; takes its time for each chunk, in which the buffer must stay as it is. */
  function slowSink(ms = 1) {
    const chunks: Buffer[] = [];
    return {
      chunks,
      bytes: () => Buffer.concat(chunks),
      async write(chunk: Buffer) {
        await sleep(ms);
        chunks.push(Buffer.from(chunk));
      },
    };
  }

  it('gives every byte once and in order, to quick and to slow sinks', async () => {
    const url = await listening(createServer(whole));
    const slow = slowSink();
    const quick: Buffer[] = [];
    const pump = async (sink: { write(chunk: Buffer): void | Promise<void> }) =>
      (await reader.get(url, ['X-Header: 1'])).pump(sink, 5000);
    const lengths = await Promise.all([pump(slow), pump({ write: (chunk) => void quick.push(Buffer.from(chunk)) })]);
    expect(lengths).toEqual([BODY.length, BODY.length]);
    expect(slow.bytes().equals(BODY)).toBe(true);
    expect(Buffer.concat(quick).equals(BODY)).toBe(true);
  });

  it('asks for what it is told, on one connection as long as it is kept', async () => {
    const asked: string[] = [];
    const server = createServer((req, res) => {
      asked.push(`${req.method} ${req.url} ${req.headers.host} ${req.headers.range}`);
      res.setHeader('content-length', 3).end('abc');
    });
    let connections = 0;
    server.on('connection', () => connections++);
    const url = await listening(server);
    for (let i = 0; i < 3; i++) expect(await (await reader.get(url, ['Range: bytes=0-2'])).text()).toBe('abc');
    expect(asked).toEqual(Array(3).fill(`GET /bucket/key?signed=1 ${url.host} bytes=0-2`));
    expect(connections).toBe(1);
    server.closeAllConnections();
    expect(await (await reader.get(url, [])).text()).toBe('abc');
    expect(connections).toBe(2);
  });

  it('takes another connection after one that is not to be kept, and after a body that was dropped', async () => {
    let connections = 0;
    const server = createServer(
      (_, res) => void res.writeHead(200, { connection: 'close', 'content-length': 1 }).end('x'),
    );
    server.on('connection', () => connections++);
    const url = await listening(server);
    await (await reader.get(url, [])).text();
    (await reader.get(url, [])).drop();
    await (await reader.get(url, [])).text();
    expect(connections).toBe(3);
  });

  it('reads heads in pieces, empty bodies, and bodies that come along with the head', async () => {
    const url = await saying([
      'HTTP/1.1 206 Part',
      'ial Content\r\nContent-Range: bytes 0-1/9\r',
      '\nContent-Length: 2\r\n\r\nhi',
    ]);
    const body = await reader.get(url, []);
    expect([body.status, body.headers.get('content-range')]).toEqual([206, 'bytes 0-1/9']);
    expect(await body.text()).toBe('hi');
    const empty = await reader.get(await saying(['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n']), []);
    expect(await empty.pump(slowSink(), 1000)).toBe(0);
  });

  it('tells a body that breaks off from other failures, after the sink has taken all that came', async () => {
    const url = await saying(['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n', 'abc', 'def'], (socket) =>
      socket.destroy(),
    );
    const sink = slowSink(20);
    await expect((await reader.get(url, [])).pump(sink, 5000)).rejects.toBeInstanceOf(BodyBroke);
    expect(sink.bytes().toString()).toBe('abcdef');
    const full = { write: () => Promise.reject(new Error('the sink is full')) };
    await expect((await reader.get(url, [])).pump(full, 5000)).rejects.toThrow('the sink is full');
    const broken = {
      write: () => {
        throw new Error('the sink is broken');
      },
    };
    await expect((await reader.get(url, [])).pump(broken, 5000)).rejects.toThrow('the sink is broken');
  });

  it('ends a body that falls silent, but not one whose sink takes its time', async () => {
    const silent = await saying(['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc']);
    await expect((await reader.get(silent, [])).pump(slowSink(), 30)).rejects.toBeInstanceOf(BodyBroke);
    const url = await listening(createServer(whole));
    let first = true;
    const sink = {
      write: async () => {
        if (first) await sleep(150);
        first = false;
      },
    };
    expect(await (await reader.get(url, [])).pump(sink, 100)).toBe(BODY.length);
  });

  it('ends at the signal: before an answer, in a body, and while the sink takes a chunk', async () => {
    const leave = new Error('the client left');
    const never = await saying([]);
    const before = new AbortController();
    const asking = reader.get(never, [], before.signal);
    before.abort(leave);
    await expect(asking).rejects.toBe(leave);
    const url = await listening(createServer(whole));
    const inside = new AbortController();
    const stuck = { write: () => new Promise<void>(() => inside.abort(leave)) };
    await expect((await reader.get(url, [])).pump(stuck, 5000, inside.signal)).rejects.toBe(leave);
    await expect((await reader.get(url, [])).pump(slowSink(), 5000, inside.signal)).rejects.toBe(leave);
  });

  it.each([
    ['no HTTP', 'SSH-2.0-x\r\n\r\n'],
    ['too long a head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`],
    ['nothing', ''],
  ])('refuses %s', async (_, text) => {
    const url = await saying([text], (socket) => socket.destroy());
    await expect(reader.get(url, [])).rejects.toThrow();
  });

  it('refuses a body of unknown length, and more than was announced', async () => {
    const chunked = await reader.get(
      await saying(['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n']),
      [],
    );
    await expect(chunked.pump(slowSink(), 1000)).rejects.toThrow('without a length');
    const more = await reader.get(await saying(['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc']), []);
    await expect(more.pump(slowSink(), 1000)).rejects.toBeInstanceOf(BodyBroke);
  });

  it('speaks TLS, with those that the CA vouches for', async () => {
    const { ca, cert, key } = makeCertificates();
    const url = await listening(createTlsServer({ cert, key }, whole), 'https');
    await expect(reader.get(url, [])).rejects.toThrow();
    const trusting = new ObjectReader([ca]);
    const sink = slowSink();
    for (let i = 0; i < 2; i++) await (await trusting.get(url, [])).pump(sink, 5000);
    expect(sink.bytes().equals(Buffer.concat([BODY, BODY]))).toBe(true);
    trusting.close();
    await expect(trusting.get(url, [])).rejects.toThrow('closed');
  });
});
