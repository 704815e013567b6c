import { load, maskSecrets } from './index.js';

it('shows the configuration without its secrets', () => {
  const { config } = load({
    role: 'all',
    env: {
      OCIREGISTRY_METADATA_URL: 'postgresql://ada:hunter2@db:5432/x',
      OCIREGISTRY_BUS_NATS: 'nats://bob:hunter2@nats:4222',
      OCIREGISTRY_BLOBS_S3_ENDPOINT: 'http://s3:9000',
      OCIREGISTRY_BLOBS_S3_BUCKET: 'bucket',
      OCIREGISTRY_BLOBS_S3_ACCESS_KEY: 'hunter2',
      OCIREGISTRY_BLOBS_S3_SECRET_KEY: 'hunter2',
      OCIREGISTRY_ADMIN_TOKEN: 'hunter2',
    },
  });
  const shown = maskSecrets(config);
  expect(JSON.stringify(config)).toContain('hunter2');
  expect(JSON.stringify(shown)).not.toContain('hunter2');
  expect(shown).toMatchObject({
    metadata: { url: 'postgresql://***@db:5432/x' },
    blobs: { s3: { endpoint: 'http://s3:9000', bucket: 'bucket', secretKey: '***' } },
    admin: { token: '***', host: '127.0.0.1' },
  });
});
