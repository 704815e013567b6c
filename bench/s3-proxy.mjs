import { Client } from 'minio';
import { compileReplay } from './generators.mjs';
import { startDockerRegistry, startNginxProxy, startOurs } from './peers.mjs';
import { interleave, summarize } from './rounds.mjs';
import { startServices } from './services.mjs';
import { fetchObject, portable } from './warm.mjs';

const SIZE = 256 * 1024 * 1024;
const STORED_MS = 60_000;

/** A large cached layer in an object store, read through us and through nginx's proxy_pass to the same object. */
export const s3Proxy = {
  unit: 'GB',
  commands: ['cc'],
  clients: 4,
  async run({ folder, content, settings, say }) {
    const replay = compileReplay(folder);
    const layer = content.layer('bench/large', SIZE);
    const started = [];
    const keep = async (starting) => {
      const server = await starting;
      started.push(server);
      return server;
    };
    try {
      const { s3, config } = await keep(startServices());
      const { bucket } = config.blobs.s3;
      const upstream = await keep(startDockerRegistry(folder, { name: 'upstream', root: content.registryRoot }));
      const { host } = new URL(upstream.url);
      const { accessKey, secretKey, region, port } = s3;
      const more = { ...config, relay: { port: 0, advertise: '127.0.0.1' } };
      const ours = await keep(startOurs(folder, { upstream: host, more }));
      const query = `?ns=${host}`;
      await fetchObject(ours, layer, query);
      const client = new Client({ endPoint: '127.0.0.1', port, useSSL: false, accessKey, secretKey, region });
      const hex = layer.digest.slice('sha256:'.length);
      const key = `blobs/sha256/${hex.slice(0, 2)}/${hex}`;
      await stored(client, bucket, key);
      // nginx cannot sign.
      await client.setBucketPolicy(bucket, anybodyReads(bucket));
      const to = { path: layer.path, host: `127.0.0.1:${port}`, object: `/${bucket}/${key}` };
      const servers = [ours, await keep(startNginxProxy(folder, to))];
      for (const server of servers) await fetchObject(server, layer, query);
      const load = (server, seconds) =>
        replay(server, { groups: [[`GET ${layer.path}${query}`]], clients: this.clients, seconds });
      const rounds = await interleave(servers, settings, load, ({ server, bytes, seconds, cpuSeconds, otherCores }) =>
        say(
          `${server} ${(bytes / 1e9 / seconds).toFixed(2)} GB/s, ${(cpuSeconds / (bytes / 1e9)).toFixed(2)} s/GB, others ${otherCores.toFixed(2)}`,
        ),
      );
      const configs = { nginx: portable(servers[1].config, folder) };
      return { cases: [{ name: '256 MiB from S3', summary: summarize(rounds, this.unit), rounds }], configs };
    } finally {
      for (const server of started.reverse()) await server.stop();
    }
  },
};

/** Resolves when the object is there: the first client had it before. */
async function stored(client, bucket, key) {
  const until = Date.now() + STORED_MS;
  for (;;) {
    const size = await client.statObject(bucket, key).then(
      (found) => found.size,
      () => 0,
    );
    if (size === SIZE) return;
    if (Date.now() > until) throw new Error('the blob did not come into the store');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function anybodyReads(bucket) {
  const statement = { Effect: 'Allow', Principal: { AWS: ['*'] }, Action: ['s3:GetObject'] };
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ ...statement, Resource: [`arn:aws:s3:::${bucket}/*`] }],
  });
}
