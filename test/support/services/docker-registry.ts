import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../upstream/certificates.js';
import { programPath } from './local.js';
import { httpStatus } from './probe.js';
import type { Service } from './service.js';
import { startService } from './start.js';

interface DockerRegistryOptions {
  /** Asks for basic authentication; the credentials are in the result. */
  htpasswd?: boolean;
  /** HTTPS with a certificate for 127.0.0.1 and localhost; the authority that signed it is in the result. */
  tls?: boolean;
  /** An existing directory to keep the content in (local servers only); else it goes with the service. */
  storage?: string;
}

interface DockerRegistryService extends Service {
  /** `http(s)://host:port`. */
  url: string;
  endpoint: string;
  credentials: { user: string; password: string } | undefined;
  /** PEM of the authority that signed the certificate. */
  ca: string | undefined;
}

const credentials = { user: 'puller', password: 'registry-test' };
// bcrypt of the password above; the registry accepts no other scheme.
const htpasswdLine = 'puller:$2y$04$abcdefghijklmnopqrstuuC4LC3vRcn77oI3fBnLTAWjVVJfB5KM.\n';

/** The CNCF distribution registry: a real upstream, to push to and to pull from. Deletion is allowed. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistryService> {
  const directory = await mkdtemp(join(tmpdir(), 'ociregistry-upstream-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    const certificates = options.tls ? makeCertificates() : undefined;
    const [cert, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
    if (certificates) {
      await writeFile(cert, certificates.cert);
      await writeFile(key, certificates.key);
    }
    const users = join(directory, 'htpasswd');
    await writeFile(users, htpasswdLine);
    const scheme = options.tls ? 'https' : 'http';
    const env = {
      REGISTRY_STORAGE_DELETE_ENABLED: 'true',
      REGISTRY_LOG_LEVEL: 'warn',
      OTEL_TRACES_EXPORTER: 'none',
      ...(options.htpasswd && { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_REALM: 'test' }),
    };
    const paths = (certPath: string, keyPath: string, htpasswd: string) => ({
      ...(options.tls && { REGISTRY_HTTP_TLS_CERTIFICATE: certPath, REGISTRY_HTTP_TLS_KEY: keyPath }),
      ...(options.htpasswd && { REGISTRY_AUTH_HTPASSWD_PATH: htpasswd }),
    });
    const service = await startService({
      name: 'registry',
      container: {
        image: 'registry:2.8.3',
        port: 5000,
        env: { ...env, ...paths('/tls.crt', '/tls.key', '/htpasswd') },
        files: [
          { source: users, target: '/htpasswd' },
          ...(certificates ? [{ source: cert, target: '/tls.crt' }] : []),
          ...(certificates ? [{ source: key, target: '/tls.key' }] : []),
        ],
      },
      local: async (own, port) => {
        const command = await programPath('docker-registry');
        const config = join(own, 'config.yml');
        const storage = { filesystem: { rootdirectory: options.storage ?? join(own, 'storage') } };
        // JSON is YAML.
        await writeFile(config, JSON.stringify({ version: 0.1, storage, http: { addr: `127.0.0.1:${port}` } }));
        const local = paths(cert, key, users);
        return { command, args: ['serve', config], env: { ...env, ...local } };
      },
      probe: async (port) => {
        const status = await httpStatus(`${scheme}://127.0.0.1:${port}/v2/`, certificates?.ca);
        if (status !== (options.htpasswd ? 401 : 200)) throw new Error(`/v2/ answered ${status}`);
      },
    });
    const url = `${scheme}://127.0.0.1:${service.port}`;
    const stop = service.stop.bind(service);
    return Object.assign(service, {
      url,
      endpoint: url,
      credentials: options.htpasswd ? credentials : undefined,
      ca: certificates?.ca,
      async stop() {
        await stop();
        await remove();
      },
    });
  } catch (error) {
    await remove();
    throw error;
  }
}
