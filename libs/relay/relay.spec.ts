import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RelayAddress } from '#bus';
import { Failure } from '#oci';
import type { Log, Relays, RunningTransfer } from '#registry';
import { type Certificates, makeCertificates } from '../../test/support/upstream/index.js';
import { HttpRelays, RelayServer } from './index.js';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const BODY = Buffer.from('the bytes of a transfer that runs elsewhere');
const ID = '00000000-0000-4000-8000-000000000000';
const TOKEN = 'secret';

const transfer: RunningTransfer = {
  size: async () => BODY.length,
  fingerprint: () => ({ blockSize: 1, blocks: new Map() }),
  read: async ({ offset, length }, sink) => void (await sink.write(BODY.subarray(offset, offset + length))),
};
/** What runs in the puller. */
const running: Relays = {
  attach: async ({ transfer: id, token }) => {
    if (id !== ID || token !== TOKEN) throw new Failure('UNAVAILABLE');
    return transfer;
  },
};
/** What runs in the gateway: nothing. */
const none: Relays = { attach: () => Promise.reject(new Failure('UNAVAILABLE')) };

describe('a relay', () => {
  let directory: string;
  let certificates: Certificates;
  let foreign: Certificates;
  const opened: { close(): unknown }[] = [];

  const file = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const server = (from: Certificates, name: string) => ({
    cert: file(`${name}.crt`, from.cert),
    key: file(`${name}.key`, from.key),
  });
  const client = (from: Certificates, name: string) => ({
    cert: file(`${name}.crt`, from.clientCert),
    key: file(`${name}.key`, from.clientKey),
  });

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'relay-tls-'));
    certificates = makeCertificates(['puller.internal']);
    foreign = makeCertificates();
  });
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function relay(tls?: ConstructorParameters<typeof RelayServer>[2]): Promise<RelayAddress> {
    const puller = new RelayServer(running, silent, tls);
    opened.push(puller);
    const port = await puller.listen(0, '127.0.0.1');
    return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, transfer: ID, token: TOKEN };
  }

  async function read(address: RelayAddress, tls?: ConstructorParameters<typeof HttpRelays>[1]['tls'], offset = 0) {
    const gateway = new HttpRelays(none, { idleTimeout: 5_000, tls, log: silent });
    opened.push(gateway);
    const attached = await gateway.attach(address);
    const chunks: Buffer[] = [];
    const sink = { write: async (chunk: Buffer) => void chunks.push(Buffer.from(chunk)) };
    await attached.read({ offset, length: (await attached.size()) - offset }, sink);
    return Buffer.concat(chunks).toString();
  }

  const refused = { reason: 'UNAVAILABLE', retryable: true };

  it('gives a transfer, from any offset, to who has its token', async () => {
    const address = await relay();
    await expect(read(address)).resolves.toBe(BODY.toString());
    await expect(read(address, undefined, 4)).resolves.toBe(BODY.subarray(4).toString());
    await expect(read({ ...address, token: 'other' })).rejects.toMatchObject(refused);
  });

  it('asks once for a reader who begins within a block, however little comes at a time', async () => {
    const reads: number[] = [];
    const bytes = Buffer.alloc(3 * 2 ** 20, 'abc');
    jest.spyOn(transfer, 'size').mockResolvedValue(bytes.length);
    jest.spyOn(transfer, 'read').mockImplementation(async ({ offset, length }, sink) => {
      reads.push(offset);
      for (let at = offset; at < offset + length; at += 16_384) {
        await sink.write(bytes.subarray(at, at + Math.min(16_384, offset + length - at)));
        await new Promise(setImmediate);
      }
    });
    try {
      const from = 1.7 * 2 ** 20 - 0.2;
      await expect(read(await relay(), undefined, Math.floor(from))).resolves.toBe(bytes.subarray(from).toString());
      expect(reads).toEqual([2 ** 20]);
    } finally {
      jest.restoreAllMocks();
    }
  });

  it('does so over TLS, where each side has a certificate that the authority of the other signed', async () => {
    const ca = file('ca.pem', certificates.ca);
    const address = await relay({ ...server(certificates, 'puller'), ca });
    const own = { ...client(certificates, 'gateway'), ca };
    await expect(read(address, own)).resolves.toBe(BODY.toString());
    await expect(read(address, own, 4)).resolves.toBe(BODY.subarray(4).toString());
    const stranger = { ...client(foreign, 'stranger'), ca };
    await expect(read(address, stranger)).rejects.toMatchObject(refused);
    const otherAuthority = { ...own, ca: file('other-ca.pem', foreign.ca) };
    await expect(read(address, otherAuthority)).rejects.toMatchObject(refused);
    await expect(read({ ...address, url: address.url.replace('https', 'http') }, own)).rejects.toMatchObject(refused);
    await expect(read(address)).rejects.toMatchObject(refused);
  });

  it('takes every gateway where no authority is named', async () => {
    const address = await relay(server(certificates, 'open'));
    const own = { ...client(foreign, 'any'), ca: file('ca.pem', certificates.ca) };
    await expect(read(address, own)).resolves.toBe(BODY.toString());
  });

  it('is known by its address, or by the name that is configured', async () => {
    const address = await relay(server(certificates, 'named'));
    const own = { ...client(certificates, 'gateway'), ca: file('ca.pem', certificates.ca) };
    await expect(read(address, { ...own, serverName: 'puller.internal' })).resolves.toBe(BODY.toString());
    await expect(read(address, { ...own, serverName: 'elsewhere.internal' })).rejects.toMatchObject(refused);
  });
});
