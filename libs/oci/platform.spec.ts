import fc from 'fast-check';
import { formatPlatform, hostPlatform, parsePlatform, platformMatches } from './platform.js';

describe('platforms', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/arm64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['Linux/ARM64/8', 'linux/arm64'],
    ['linux/arm64/v9', 'linux/arm64/v9'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/7', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['windows/amd64', 'windows/amd64'],
    ['linux/constructor', 'linux/constructor'],
  ])('%s is %s', (text, normal) => {
    const platform = parsePlatform(text);
    expect(platform && formatPlatform(platform)).toBe(normal);
  });

  it.each([
    '',
    'linux',
    'linux/',
    '/amd64',
    'linux/amd64/',
    'linux/arm/v7/x',
    'linux amd64',
    'linux/amd 64',
    'linux/ämd64',
    '*/*',
  ])('refuses %j', (text) => expect(parsePlatform(text)).toBeUndefined());

  it.each([
    ['linux/arm64', { os: 'linux', architecture: 'arm64', variant: 'v8' }, true],
    ['linux/arm64/v8', { os: 'linux', architecture: 'arm64' }, true],
    ['linux/amd64', { os: 'linux', architecture: 'amd64', variant: '' }, true],
    ['linux/amd64', { os: 'Linux', architecture: 'x86_64' }, true],
    ['linux/arm/v7', { os: 'linux', architecture: 'arm' }, true],
    ['linux/arm/v7', { os: 'linux', architecture: 'arm', variant: 'v6' }, false],
    ['linux/arm64', { os: 'linux', architecture: 'arm', variant: 'v8' }, false],
    ['linux/amd64', { os: 'linux', architecture: 'amd64', variant: 'v3' }, false],
    ['linux/amd64', { os: 'windows', architecture: 'amd64' }, false],
    ['linux/amd64', { os: 'unknown', architecture: 'unknown' }, false],
  ])('%s against %j: %s', (wanted, have, matches) => {
    expect(platformMatches(parsePlatform(wanted)!, have)).toBe(matches);
    expect(platformMatches(have, parsePlatform(wanted)!)).toBe(matches);
  });

  it('reads back what it writes, and every platform matches itself', () => {
    const part = fc.oneof(
      fc.constantFrom('linux', 'arm', 'arm64', 'amd64', 'x86_64', 'v7', 'v8', '8', '__proto__'),
      fc.stringMatching(/^[a-z0-9_][a-z0-9_.-]{0,9}$/),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 2, maxLength: 3 }), (parts) => {
        const platform = parsePlatform(parts.join('/'))!;
        expect(parsePlatform(formatPlatform(platform))).toEqual(platform);
        expect(platformMatches(platform, platform)).toBe(true);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void parsePlatform(text)));
  });

  it('knows the platform it runs on', () => {
    const host = hostPlatform();
    expect(['linux', 'windows']).toContain(host.os);
    expect(parsePlatform(formatPlatform(host))).toEqual(host);
  });
});
