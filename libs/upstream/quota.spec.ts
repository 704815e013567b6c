import { isCounted, quotaOf } from './quota.js';

const answer = (headers: Record<string, string>) => ({ header: (name: string) => headers[name] });

describe('B15: rate limit headers', () => {
  it.each([
    [
      'Docker Hub',
      { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
      [100, 76, 21_600, undefined],
    ],
    [
      'an IETF draft',
      { 'ratelimit-limit': '10, 10;window=60', 'ratelimit-remaining': '0', 'ratelimit-reset': '7' },
      [10, 0, 60, 7],
    ],
    [
      'an epoch',
      { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '59', 'x-ratelimit-reset': '2000000030' },
      [60, 59, undefined, 30],
    ],
  ])('reads those of %s', (_, headers, [limit, remaining, window, reset]) => {
    const quota = quotaOf(answer(headers), 2_000_000_000_000);
    expect([quota?.limit, quota?.remaining, quota?.window, quota?.reset]).toEqual([limit, remaining, window, reset]);
    expect(quota?.at).toBe(2_000_000_000_000);
  });

  it.each<Record<string, string>>([
    {},
    { 'ratelimit-limit': '100' },
    { 'ratelimit-limit': 'many', 'ratelimit-remaining': '-1' },
  ])('gives nothing for %j', (headers) => expect(quotaOf(answer(headers), 0)).toBeUndefined());

  it('B16: Docker Hub counts the GET of a manifest and nothing else; others count everything', () => {
    const counted = (host: string) =>
      (['GET', 'HEAD'] as const).flatMap((method) =>
        (['manifests', 'blobs'] as const).map((content) => isCounted(host, { method, content })),
      );
    expect(counted('docker.io')).toEqual([true, false, false, false]);
    expect(counted('quay.io')).toEqual([true, true, true, true]);
  });
});
