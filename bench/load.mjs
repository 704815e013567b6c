import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { pack } from 'tar-stream';
import { startOurs } from './peers.mjs';
import { median } from './rounds.mjs';

const LAYERS = 8;
const LAYER = 64 * 2 ** 20;
const program = fileURLToPath(new URL('../dist/apps/cli/main.js', import.meta.url));

/**
 * An OCI layout of 8 layers of 64 MiB that no cache has, in a tar file: copied by `cp`, copied and made durable (our import is, when
 * it answers), and loaded from the command line into a running server. A new archive for every round.
 */
export const load = {
  unit: 'side by side',
  commands: ['cp', 'sync'],
  clients: 1,
  async run({ folder, settings, say }) {
    const ours = await startOurs(folder, { upstream: '127.0.0.1:1' });
    const archive = join(folder, 'archive.tar');
    const copy = join(folder, 'copy.tar');
    const ways = [
      { name: 'cp', run: () => execFileSync('cp', [archive, copy]) },
      {
        name: 'cp and sync',
        run: () => {
          execFileSync('cp', [archive, copy]);
          execFileSync('sync', [copy]);
        },
      },
      {
        name: 'load',
        run: () => command(['load', '--server', `http://127.0.0.1:${ours.config.adminPort}`, archive]),
      },
    ];
    const rounds = [];
    try {
      for (let round = 0; round < settings.rounds; round++) {
        await writeArchive(archive, round);
        execFileSync('sync', [archive]);
        for (const { name, run } of round % 2 ? ways.toReversed() : ways) {
          const since = performance.now();
          await run();
          const seconds = (performance.now() - since) / 1000;
          rmSync(copy, { force: true });
          rounds.push({ round, server: name, seconds });
          say(`${name} ${seconds.toFixed(2)} s`);
        }
      }
    } finally {
      await ours.stop();
    }
    const of = (name) => median(rounds.filter(({ server }) => server === name).map(({ seconds }) => seconds));
    const summary = ways.map(({ name }) => ({
      way: name,
      seconds: of(name).toFixed(2),
      'MB/s': Math.round((LAYERS * LAYER) / 1e6 / of(name)),
      'rate / cp': (of('cp') / of(name)).toFixed(2),
      'rate / cp and sync': (of('cp and sync') / of(name)).toFixed(2),
    }));
    return { cases: [{ name: 'an archive of 512 MiB', summary, rounds }], configs: {} };
  },
};

async function writeArchive(path, round) {
  const archive = pack();
  const written = pipeline(archive, createWriteStream(path));
  const add = (name, bytes) => new Promise((resolve) => archive.entry({ name }, bytes, resolve));
  const blob = async (mediaType, bytes) => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    await add(`blobs/${digest.replace(':', '/')}`, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layers = [];
  for (let n = 0; n < LAYERS; n++)
    layers.push(await blob('application/vnd.oci.image.layer.v1.tar', randomBytes(LAYER)));
  const config = await blob(
    'application/vnd.oci.image.config.v1+json',
    Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: layers.map((l) => l.digest) },
      }),
    ),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await blob(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })));
  const annotations = { 'io.containerd.image.name': `bench.example/load/image:round-${round}` };
  await add('index.json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] })));
  await add('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  archive.finalize();
  await written;
}

function command(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`load exited with ${code}`))));
  });
}
