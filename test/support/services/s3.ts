import { join } from 'node:path';
import { programPath } from './local.js';
import { httpStatus } from './probe.js';
import type { Service } from './service.js';
import { startService } from './start.js';

export interface S3Service extends Service {
  /** `http://host:port`; buckets are addressed in the path. */
  endpoint: string;
  url: string;
  region: string;
  accessKey: string;
  secretKey: string;
}

const accessKey = 'ociregistry';
const secretKey = 'ociregistry-test';

/** An S3 store (MinIO) without buckets. */
export async function startS3(): Promise<S3Service> {
  const env = { MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' };
  const service = await startService({
    name: 's3',
    container: {
      image: 'quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z',
      port: 9000,
      env,
      command: ['server', '/data'],
    },
    local: async (directory, port) => ({
      command: await programPath('minio'),
      args: ['server', '--quiet', '--address', `127.0.0.1:${port}`, join(directory, 'data')],
      env: { ...env, MINIO_CI_CD: '1' },
    }),
    probe: async (port) => {
      const status = await httpStatus(`http://127.0.0.1:${port}/minio/health/ready`);
      if (status !== 200) throw new Error(`health check answered ${status}`);
    },
  });
  const endpoint = `http://127.0.0.1:${service.port}`;
  return Object.assign(service, { endpoint, url: endpoint, region: 'us-east-1', accessKey, secretKey });
}
