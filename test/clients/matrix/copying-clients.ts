import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfBody } from '../../support/client.js';
import { run } from '../programs.js';
import { type Client, type Ground, PLATFORMS, same } from './client.js';
import { exampleOf } from './readme.js';

const addressing = 'host in the path';

const crane: Client = {
  name: 'crane',
  program: 'crane',
  version: ['version'],
  addressing,
  async open({ inPath, repository, index, program }) {
    return {
      async pull(gateway) {
        const reference = `${gateway}/${inPath}/${repository}:v1`;
        same('the index', (await run(program, 'digest', '--insecure', reference)).trim(), index.digest);
        await run(program, 'validate', '--insecure', '--remote', reference);
      },
    };
  },
};

const skopeo: Client = {
  name: 'skopeo',
  program: 'skopeo',
  version: ['--version'],
  addressing,
  async open({ inPath, repository, index, directory, program }) {
    return {
      async pull(gateway) {
        const layout = join(directory, 'layout');
        const options = ['--insecure-policy', 'copy', '--all', '--preserve-digests', '--src-tls-verify=false'];
        await run(program, ...options, `docker://${gateway}/${inPath}/${repository}:v1`, `oci:${layout}:v1`);
        same('the index', await rootOf(layout), index.digest);
        await rm(layout, { recursive: true });
      },
    };
  },
};

const regctl: Client = {
  name: 'regctl',
  program: 'regctl',
  version: ['version'],
  addressing,
  async open({ inPath, repository, index, directory, program }) {
    return {
      async pull(gateway) {
        const layout = join(directory, 'layout');
        const host = ['--host', `reg=${gateway},tls=disabled`];
        const copy = ['image', 'copy', '--referrers', '--digest-tags'];
        await run(program, ...host, ...copy, `${gateway}/${inPath}/${repository}:v1`, `ocidir://${layout}:v1`);
        same('the index', await rootOf(layout), index.digest);
        await rm(layout, { recursive: true });
      },
    };
  },
};

/** podman and buildah share how they are set up; a mirror of theirs takes the place of the host and its path. */
function containersImage(name: 'podman' | 'buildah', how: 'in-path' | 'mirror'): Client {
  return {
    name,
    program: name,
    version: ['--version'],
    addressing: how === 'in-path' ? addressing : 'mirror in registries.conf',
    async open({ inPath, repository, index, directory, program }: Ground) {
      const policy = join(directory, 'policy.json');
      await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
      const store = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
      const registries = join(directory, 'registries.conf');
      const command = (...args: string[]) =>
        run(
          '/usr/bin/env',
          `CONTAINERS_REGISTRIES_CONF=${registries}`,
          `HOME=${directory}`,
          program,
          ...store,
          ...args,
        );
      return {
        async pull(gateway) {
          const example = () => exampleOf('/etc/containers/registries.conf.d/cache.conf', gateway);
          await writeFile(registries, how === 'mirror' ? example().replaceAll('docker.io', inPath) : '');
          const path = `${how === 'mirror' ? '' : `${gateway}/`}${inPath}/${repository}`;
          const insecure = how === 'mirror' ? [] : ['--tls-verify=false'];
          await command('pull', '--quiet', '--signature-policy', policy, ...insecure, `${path}:v1`);
          const list = name === 'podman' ? ['--format', 'json'] : ['--json'];
          const found = JSON.parse(await command('images', ...list));
          if (found.length !== 1) throw new Error(`${found.length} images are there`);
          const image = index.images.find(({ platform }) => platform === PLATFORMS[0]);
          const known = [index.digest, image?.digest];
          if (!known.includes(found[0].digest ?? found[0].Digest)) throw new Error(`another image is there`);
          await command('rmi', `${path}:v1`);
        },
      };
    },
  };
}

/** An artifact with one attached to it: pulled, and found by what refers to it. */
const oras: Client = {
  name: 'oras',
  program: 'oras',
  version: ['version'],
  addressing,
  async open({ upstream, inPath, repository, directory, program }) {
    const source = join(directory, 'source');
    await mkdir(source);
    await writeFile(join(source, 'note.txt'), `for ${repository}`);
    const inside = (...args: string[]) => run('/usr/bin/env', '-C', source, program, ...args);
    const artifact = `${upstream}/${repository}-artifact:v1`;
    const type = ['--artifact-type', 'application/vnd.example.note'];
    await inside('push', '--plain-http', ...type, artifact, 'note.txt:text/plain');
    await inside('attach', '--plain-http', '--artifact-type', 'application/vnd.example.more', artifact, 'note.txt');
    return {
      async pull(gateway) {
        const reference = `${gateway}/${inPath}/${repository}-artifact:v1`;
        const out = join(directory, 'out');
        await run(program, 'pull', '--plain-http', '--no-tty', '-o', out, reference);
        same('the file', await readFile(join(out, 'note.txt'), 'utf8'), `for ${repository}`);
        const found = await run(program, 'discover', '--plain-http', '--format', 'json', reference);
        same('what refers to it', /application\/vnd\.example\.more/.test(found), true);
        await rm(out, { recursive: true });
      },
    };
  },
};

const helm: Client = {
  name: 'Helm',
  program: 'helm',
  version: ['version', '--short'],
  addressing: 'host in the path, `oci://`',
  async open({ upstream, inPath, repository, directory, program }) {
    const chart = join(directory, 'chart');
    await mkdir(join(chart, 'templates'), { recursive: true });
    await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: sample\nversion: 0.1.0\n');
    await writeFile(join(chart, 'templates/none.yaml'), '');
    const env = (...args: string[]) => run('/usr/bin/env', `HOME=${directory}`, program, ...args);
    await env('package', chart, '-d', directory);
    const packed = await readFile(join(directory, 'sample-0.1.0.tgz'));
    await env('push', join(directory, 'sample-0.1.0.tgz'), `oci://${upstream}/${repository}-charts`, '--plain-http');
    return {
      async pull(gateway) {
        const out = join(directory, 'out');
        await mkdir(out);
        const reference = `oci://${gateway}/${inPath}/${repository}-charts/sample`;
        await env('pull', reference, '--version', '0.1.0', '--plain-http', '-d', out);
        same('the chart', digestOfBody(await readFile(join(out, 'sample-0.1.0.tgz'))), digestOfBody(packed));
        await rm(out, { recursive: true });
      },
    };
  },
};

const cosign: Client = {
  name: 'cosign',
  program: 'cosign',
  version: 'package',
  addressing,
  async open({ upstream, inPath, repository, index, directory, program }) {
    const key = join(directory, 'cosign');
    const command = (...args: string[]) =>
      run('/usr/bin/env', '-C', directory, `HOME=${directory}`, 'COSIGN_PASSWORD=', program, ...args);
    await command('generate-key-pair', '--output-key-prefix', key);
    const sign = ['sign', '--yes', '--key', `${key}.key`, '--tlog-upload=false', '--allow-http-registry'];
    await command(...sign, `${upstream}/${repository}@${index.digest}`);
    return {
      async pull(gateway) {
        const verify = ['verify', '--key', `${key}.pub`, '--insecure-ignore-tlog=true', '--allow-http-registry'];
        await command(...verify, `${gateway}/${inPath}/${repository}:v1`);
      },
    };
  },
};

const notation: Client = {
  name: 'notation',
  program: 'notation',
  version: ['version'],
  addressing,
  async open({ upstream, inPath, repository, index, directory, program }) {
    const command = (...args: string[]) =>
      run('/usr/bin/env', `HOME=${directory}`, `XDG_CONFIG_HOME=${directory}`, program, ...args);
    await command('cert', 'generate-test', '--default', 'signer.test');
    const policy = {
      version: '1.0',
      trustPolicies: [
        {
          name: 'all',
          registryScopes: ['*'],
          signatureVerification: { level: 'strict' },
          trustStores: ['ca:signer.test'],
          trustedIdentities: ['*'],
        },
      ],
    };
    await writeFile(join(directory, 'notation/trustpolicy.json'), JSON.stringify(policy));
    await command('sign', '--insecure-registry', `${upstream}/${repository}@${index.digest}`);
    return {
      async pull(gateway) {
        await command('verify', '--insecure-registry', `${gateway}/${inPath}/${repository}@${index.digest}`);
      },
    };
  },
};

/** The digest of the one image in a layout, once all of its blobs are what their names say. */
async function rootOf(layout: string): Promise<string> {
  const blobs = join(layout, 'blobs/sha256');
  for (const hex of await readdir(blobs))
    same('a blob', digestOfBody(await readFile(join(blobs, hex))), `sha256:${hex}`);
  return JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')).manifests[0].digest;
}

export const copyingClients: readonly Client[] = [
  crane,
  skopeo,
  regctl,
  containersImage('podman', 'in-path'),
  containersImage('podman', 'mirror'),
  containersImage('buildah', 'in-path'),
  oras,
  helm,
  cosign,
  notation,
];
