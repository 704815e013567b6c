import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { environmentKeys, MachineRole } from './credentials.js';

describe('keys from the environment', () => {
  it("prefers AWS's names, takes MinIO's, and wants both halves", () => {
    const aws = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_SESSION_TOKEN: 'c' };
    const minio = { MINIO_ACCESS_KEY: 'm', MINIO_SECRET_KEY: 'n' };
    expect(environmentKeys({ ...minio, ...aws })).toEqual({ accessKey: 'a', secretKey: 'b', sessionToken: 'c' });
    expect(environmentKeys(minio)).toEqual({ accessKey: 'm', secretKey: 'n' });
    expect(environmentKeys({ MINIO_ROOT_USER: 'r', MINIO_ROOT_PASSWORD: 's' })).toEqual({
      accessKey: 'r',
      secretKey: 's',
    });
    expect(environmentKeys({ AWS_ACCESS_KEY_ID: 'a' })).toBeUndefined();
  });
});

describe('the role of the machine', () => {
  let service: http.Server;
  let url: string;
  let requests: string[];
  let keys: object;

  beforeEach(async () => {
    requests = [];
    keys = { Code: 'Success', AccessKeyId: 'id', SecretAccessKey: 'secret', Token: 'session' };
    // As EC2's IMDSv2 and ECS document their answers.
    service = http.createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      const refuse = (status: number) => response.writeHead(status).end('no');
      if (request.url === '/latest/api/token') {
        if (request.method !== 'PUT' || !request.headers['x-aws-ec2-metadata-token-ttl-seconds']) return refuse(400);
        return response.end('imds-token');
      }
      if (request.url?.startsWith('/latest/meta-data/iam/security-credentials/')) {
        if (request.headers['x-aws-ec2-metadata-token'] !== 'imds-token') return refuse(401);
        return response.end(request.url.endsWith('/') ? 'my-role\n' : JSON.stringify(keys));
      }
      if (request.url === '/container' && request.headers.authorization === 'container-token') {
        return response.end(JSON.stringify(keys));
      }
      return refuse(404);
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    service.closeAllConnections();
    service.close();
  });

  it("is an instance's, asked for once by many until it nears its end", async () => {
    keys = { ...keys, Expiration: new Date(Date.now() + 3_600_000).toISOString() };
    const role = new MachineRole({ AWS_EC2_METADATA_SERVICE_ENDPOINT: url });
    const [first] = await Promise.all([role.getCredentials(), role.getCredentials()]);
    await role.getCredentials();
    expect([first.getAccessKey(), first.getSecretKey(), first.getSessionToken()]).toEqual(['id', 'secret', 'session']);
    expect(requests).toEqual([
      'PUT /latest/api/token',
      'GET /latest/meta-data/iam/security-credentials/',
      'GET /latest/meta-data/iam/security-credentials/my-role',
    ]);
  });

  it("is a container's, with its token from the environment or a file", async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'credentials-'));
    const file = path.join(directory, 'token');
    writeFileSync(file, 'container-token\n');
    const full = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container` };
    for (const token of [
      { AWS_CONTAINER_AUTHORIZATION_TOKEN: 'container-token' },
      { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file },
    ]) {
      const credentials = await new MachineRole({ ...full, ...token }).getCredentials();
      expect(credentials.getAccessKey()).toBe('id');
    }
    rmSync(directory, { recursive: true });
  });

  it('says so when there is none', async () => {
    keys = { Code: 'Failed' };
    await expect(new MachineRole({ AWS_EC2_METADATA_SERVICE_ENDPOINT: url }).getCredentials()).rejects.toThrow(
      'no S3 keys',
    );
    await expect(new MachineRole({ AWS_EC2_METADATA_DISABLED: 'true' }).getCredentials()).rejects.toThrow('no S3 keys');
    const refused = new MachineRole({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container` });
    await expect(refused.getCredentials()).rejects.toThrow('answered 404');
  });
});
