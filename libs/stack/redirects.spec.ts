import { redirects } from './redirects.js';

const on = (redirect: 'never' | 'auto' | 'always', endpoint: string) =>
  redirects({ redirect, blobs: { s3: { endpoint, region: 'r', bucket: 'b', prefix: '', pathStyle: true } } });

describe('redirect', () => {
  it('always and never mean what they say', () => {
    for (const endpoint of ['http://10.0.0.1:9000', 'https://s3.example.com']) {
      expect(on('always', endpoint)).toBe(true);
      expect(on('never', endpoint)).toBe(false);
    }
  });

  it.each<[string, boolean]>([
    ['https://s3.eu-west-1.amazonaws.com', true],
    ['https://minio.example.com:9000', true],
    ['https://8.8.8.8', true],
    ['http://minio.example.com', false],
    ['https://minio:9000', false],
    ['https://localhost:9000', false],
    ['https://192.168.1.4:9000', false],
    ['https://[::1]:9000', false],
    ['https://minio.storage.svc', false],
    ['https://minio.storage.svc.cluster.local', false],
    ['https://minio.home.arpa', false],
  ])('A92: auto with the endpoint %s: %s', (endpoint, expected) => {
    expect(on('auto', endpoint)).toBe(expected);
  });

  it('sends nobody to a directory', () => {
    expect(redirects({ redirect: 'auto', blobs: { filesystem: { path: '/blobs' } } })).toBe(false);
  });
});
