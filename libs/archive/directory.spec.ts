import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { packDirectory } from './directory.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pack-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text = path): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

async function packed(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { path, size, body } of packDirectory(root)) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    found[path] = Buffer.concat(chunks).toString();
    expect(found[path].length).toBe(size);
  }
  return found;
}

const hex = (digit: string) => digit.repeat(64);

it('packs all files of a layout', async () => {
  for (const path of ['oci-layout', 'index.json', `blobs/sha256/${hex('a')}`, 'img/notes.txt']) put(path);
  expect(Object.keys(await packed())).toEqual([
    `blobs/sha256/${hex('a')}`,
    'img/notes.txt',
    'index.json',
    'oci-layout',
  ]);
});

it('refuses a link in it', async () => {
  put('index.json');
  symlinkSync('/etc/passwd', join(root, 'blobs'));
  await expect(packed()).rejects.toThrow('neither file nor directory');
});

it("packs what is the Go server's of a directory in which ours lies too", async () => {
  const theirs = [`blobs/${hex('b')}`, `fat/${hex('c')}`, `img/sha256:${hex('d')}`, `img/${hex('e')}`];
  for (const path of theirs) put(path);
  for (const path of [
    `blobs/blobs/sha256/aa/${hex('a')}`,
    'blobs/journal/x/y.gz',
    'postgres/data/PG_VERSION',
    'pulls/x',
  ])
    put(path);
  symlinkSync('/etc/passwd', join(root, 'img', hex('f')));
  const socket: Server = createServer();
  await new Promise<void>((resolve) => socket.listen(join(root, 'postgres', 'socket'), resolve));
  try {
    expect(Object.keys(await packed()).sort()).toEqual(theirs.sort());
  } finally {
    await new Promise((resolve) => socket.close(resolve));
  }
});
