import { createSign, randomUUID, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../upstream/certificates.js';
import { programPath } from './local.js';
import { httpStatus } from './probe.js';
import type { Service } from './service.js';
import { startService } from './start.js';

interface TokenRegistry extends Service {
  readonly url: string;
  /** `127.0.0.1:PORT` */
  readonly endpoint: string;
  /** What may pull; `puller` alone gets tokens for private repositories. */
  readonly credentials: { user: string; password: string };
  /** A bearer token with which to push to a repository. */
  pushToken(repository: string): string;
  /** Token requests so far: their scopes, and whether they came with credentials. */
  readonly asked: { scopes: string[]; user?: string }[];
}

const SERVICE = 'test-registry';
const ISSUER = 'test-issuer';
const credentials = { user: 'puller', password: 'token-test' };

/**
 * CNCF distribution 3 with a token service beside it (distribution "Token Authentication Specification"). Everybody may pull from
 * repositories below `public/`, others need the credentials.
 */
export async function startTokenRegistry(): Promise<TokenRegistry> {
  const { ca, cert, key } = makeCertificates();
  const asked: TokenRegistry['asked'] = [];
  const sign = (access: object[]) => token(cert, key, access);
  const tokens = createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://tokens');
    const user = userOf(req);
    const scopes = url.searchParams.getAll('scope');
    asked.push({ scopes, ...(user ? { user } : {}) });
    const access = scopes.flatMap((scope) => {
      const [type, name = ''] = scope.split(':');
      return name.startsWith('public/') || user ? [{ type, name, actions: ['pull'] }] : [];
    });
    const wrong = user === '' || url.searchParams.get('service') !== SERVICE;
    res.writeHead(wrong ? 401 : 200, { 'content-type': 'application/json' });
    res.end(JSON.stringify(wrong ? {} : { token: sign(access), expires_in: 300 }));
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
  const directory = await mkdtemp(join(tmpdir(), 'ociregistry-tokens-'));
  const remove = async () => {
    await close(tokens);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const bundle = join(directory, 'ca.pem');
    await writeFile(bundle, ca);
    const env = (authority: string) => ({
      OTEL_TRACES_EXPORTER: 'none',
      REGISTRY_LOG_LEVEL: 'warn',
      REGISTRY_AUTH: 'token',
      REGISTRY_AUTH_TOKEN_REALM: `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`,
      REGISTRY_AUTH_TOKEN_SERVICE: SERVICE,
      REGISTRY_AUTH_TOKEN_ISSUER: ISSUER,
      REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: authority,
    });
    const service = await startService({
      name: 'token-registry',
      container: {
        image: 'registry:3.1.1',
        port: 5000,
        env: env('/ca.pem'),
        files: [{ source: bundle, target: '/ca.pem' }],
      },
      local: async (own, port) => {
        const config = join(own, 'config.yml');
        const storage = { filesystem: { rootdirectory: join(own, 'storage') } };
        // JSON is YAML.
        await writeFile(config, JSON.stringify({ version: 0.1, storage, http: { addr: `127.0.0.1:${port}` } }));
        return { command: await programPath('registry'), args: ['serve', config], env: env(bundle) };
      },
      probe: async (port) => {
        const status = await httpStatus(`http://127.0.0.1:${port}/v2/`);
        if (status !== 401) throw new Error(`/v2/ answered ${status}`);
      },
    });
    const stop = service.stop.bind(service);
    return Object.assign(service, {
      url: `http://127.0.0.1:${service.port}`,
      endpoint: `127.0.0.1:${service.port}`,
      credentials,
      asked,
      pushToken: (name: string) => sign([{ type: 'repository', name, actions: ['pull', 'push'] }]),
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

/** The user; empty for wrong credentials, undefined for none. */
function userOf({ headers }: IncomingMessage): string | undefined {
  const basic = /^Basic (\S+)$/.exec(headers.authorization ?? '')?.[1];
  if (!basic) return undefined;
  const { user, password } = credentials;
  return Buffer.from(basic, 'base64').toString() === `${user}:${password}` ? user : '';
}

/** A JWT (RFC 7519) signed with ES256 by the key of `cert`, which goes with it (`x5c`). */
function token(cert: string, key: string, access: object[]): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'ES256', x5c: [new X509Certificate(cert).raw.toString('base64')] };
  const times = { iat: now, nbf: now - 10, exp: now + 300 };
  const claims = { iss: ISSUER, sub: '', aud: SERVICE, jti: randomUUID(), ...times, access };
  const text = `${part(header)}.${part(claims)}`;
  const signature = createSign('SHA256').update(text).sign({ key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
