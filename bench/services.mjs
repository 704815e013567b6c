import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(repository, 'node_modules/.cache');

/** PostgreSQL, NATS and S3 as the tests start them: `{config, s3, stop()}`, where `config` is what a server is told of them. */
export async function startServices() {
  const command = join(repository, 'node_modules/.bin/swc');
  const args = ['services', 'upstream', '-d', compiled, '--config-file', '../../.swcrc', '-q'];
  const built = spawnSync(command, args, { cwd: join(repository, 'test/support'), encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`cannot compile the services of the tests: ${built.stderr}`);
  const services = await import(pathToFileURL(join(compiled, 'services/index.js')));
  const [postgres, nats, s3] = await Promise.all([
    services.startPostgres({ version: 17 }),
    services.startNats(),
    services.startS3(),
  ]);
  const { endpoint, accessKey, secretKey } = s3;
  return {
    s3,
    config: {
      metadata: { url: postgres.url },
      bus: { nats: nats.url },
      blobs: { s3: { endpoint, bucket: 'bench', accessKey, secretKey } },
    },
    async stop() {
      await Promise.all([postgres.stop(), nats.stop(), s3.stop()]);
    },
  };
}
