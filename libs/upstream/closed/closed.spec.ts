import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { type Digest, digestOf } from '#oci';
import { createAirGapped, createHelloWorld } from '../adapters.js';
import { printingProgram } from './elf.js';

const repository = { upstream: 'docker.io', path: 'library/hello-world' };

describe('air-gapped', () => {
  const upstream = createAirGapped(() => true);
  it('has nothing, and says why', async () => {
    const message = 'not in the cache, and this server is air-gapped';
    for (const [call, reason] of [
      [upstream.getManifest(repository, 'latest'), 'MANIFEST_UNKNOWN'],
      [upstream.headManifest(repository, 'latest'), 'MANIFEST_UNKNOWN'],
      [upstream.getBlob(repository, 'sha256:0' as Digest), 'BLOB_UNKNOWN'],
      [upstream.headBlob(repository, 'sha256:0' as Digest), 'BLOB_UNKNOWN'],
      [upstream.listTags(repository), 'NAME_UNKNOWN'],
    ] as const)
      await expect(call).rejects.toMatchObject({ reason, message, status: 404, retryable: false });
  });
});

describe('hello-world', () => {
  const upstream = createHelloWorld();
  const bytesOf = async (digest: Digest) => {
    const chunks: Buffer[] = [];
    for await (const chunk of (await upstream.getBlob(repository, digest)).body) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  it('is one image of two platforms whose every part is there, with its digest', async () => {
    const index = await upstream.getManifest(repository, 'latest');
    const { manifests } = JSON.parse(index.bytes.toString());
    expect(manifests.map(({ platform }: { platform: object }) => platform)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'arm64', os: 'linux' },
    ]);
    for (const { digest, size } of manifests) {
      const { bytes } = await upstream.getManifest(repository, digest);
      expect([digestOf(bytes, 'sha256'), bytes.length]).toEqual([digest, size]);
      const { config, layers } = JSON.parse(bytes.toString());
      for (const part of [config, ...layers]) {
        const blob = await bytesOf(part.digest);
        expect([digestOf(blob, 'sha256'), blob.length]).toEqual([part.digest, part.size]);
        expect(await upstream.headBlob(repository, part.digest)).toMatchObject({ size: part.size });
      }
    }
    expect(await upstream.listTags(repository)).toEqual(['latest']);
    const again = await createHelloWorld().getManifest(repository, 'latest');
    expect(again.digest).toBe(index.digest);
  });

  it('is the only one', async () => {
    expect([upstream.allows('docker.io'), upstream.allows('quay.io')]).toEqual([true, false]);
    await expect(upstream.getManifest(repository, 'v1')).rejects.toMatchObject({ reason: 'MANIFEST_UNKNOWN' });
    const other = { ...repository, path: 'library/alpine' };
    await expect(upstream.getManifest(other, 'latest')).rejects.toMatchObject({
      status: 404,
      message: 'not there: with helloWorld this server has only docker.io/library/hello-world:latest',
    });
  });

  it('prints its text where it can run', async () => {
    const index = JSON.parse((await upstream.getManifest(repository, 'latest')).bytes.toString());
    const machine = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const { digest } = index.manifests.find(
      ({ platform }: { platform: { architecture: string } }) => platform.architecture === machine,
    );
    const { layers } = JSON.parse((await upstream.getManifest(repository, digest)).bytes.toString());
    const directory = mkdtempSync(join(tmpdir(), 'ociregistry-hello-'));
    try {
      const program = join(directory, 'hello');
      const reader = extract();
      reader.end(await bytesOf(layers[0].digest));
      for await (const entry of reader) {
        expect([entry.header.name, entry.header.mode]).toEqual(['hello', 0o755]);
        const parts: Buffer[] = [];
        for await (const part of entry) parts.push(part as Buffer);
        writeFileSync(program, Buffer.concat(parts), { mode: 0o755 });
      }
      expect(readFileSync(program).subarray(1, 4).toString()).toBe('ELF');
      // Elsewhere there is nothing to run it on.
      if (process.platform === 'linux') expect(execFileSync(program).toString()).toContain('Hello from ociregistry!');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('has an arm64 program whose message address is where the message stands', () => {
    const program = printingProgram('arm64', 'hey');
    const adr = program.readUInt32LE(120 + 4);
    const distance = ((adr >>> 5) & 0x7ffff) * 4 + ((adr >>> 29) & 3);
    const at = 120 + 4 + distance;
    expect(program.subarray(at, at + 3).toString()).toBe('hey');
  });
});
