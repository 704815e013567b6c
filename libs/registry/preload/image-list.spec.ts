import { formatReference } from '#oci';
import { matchesGlob, parseImageList } from './image-list.js';

const short = (text: string, host?: string) =>
  parseImageList(text, host).map((entry) =>
    'reference' in entry
      ? formatReference(entry.reference)
      : 'tags' in entry
        ? `${entry.repository.upstream}/${entry.repository.path} ${entry.tags}`
        : `${entry.line}: ${entry.text}: ${entry.problem}`,
  );

describe('a list of images', () => {
  it("reads the Go server's format: one a line, comments, blank lines, any line end", () => {
    expect(
      short(
        '\uFEFF# tools\nquay.io/jetstack/cert-manager-webhook:v1.11.2\r\n\n  registry.k8s.io/pause:3.8  # pause\r\nalpine\n',
      ),
    ).toEqual([
      'quay.io/jetstack/cert-manager-webhook:v1.11.2',
      'registry.k8s.io/pause:3.8',
      'docker.io/library/alpine:latest',
    ]);
  });

  it('reads commas, and the same image once', () => {
    expect(short('a/b:1, a/b:2,, docker.io/a/b:1\na/b:1')).toEqual(['docker.io/a/b:1', 'docker.io/a/b:2']);
  });

  it('reads digests', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(short(`ghcr.io/a/b@${digest}\nghcr.io/a/b:v1@${digest}`)).toEqual([
      `ghcr.io/a/b@${digest}`,
      `ghcr.io/a/b:v1@${digest}`,
    ]);
  });

  it('fails the bad line only', () => {
    expect(short(`a/b:1\nUPPER/case\nhttps://x/y\na/b:${'t'.repeat(129)}\n${'x'.repeat(5000)}\nc/d`)).toEqual([
      'docker.io/a/b:1',
      '2: UPPER/case: invalid repository name',
      '3: https://x/y: invalid registry host',
      `4: a/b:${'t'.repeat(129)}: invalid tag or manifest reference`,
      `5: ${'x'.repeat(60)}...: the line is too long`,
      'docker.io/c/d:latest',
    ]);
  });

  it('takes names without a host from the default upstream', () => {
    expect(short('a/b:1', 'quay.io')).toEqual(['quay.io/a/b:1']);
  });

  it('reads globs of tags, and of nothing else', () => {
    expect(short('alpine:3.*\nquay.io/a/b:v?.1, quay.io/a/b:v?.1\n127.0.0.1:5000/x:*')).toEqual([
      'docker.io/library/alpine 3.*',
      'quay.io/a/b v?.1',
      '127.0.0.1:5000/x *',
    ]);
    expect(short('quay.io/*/b:1\na/b:1*@sha256:00\n*:5000/a').every((text) => /^\d: .*: invalid/.test(text))).toBe(
      true,
    );
  });

  it.each<[string, string, boolean]>([
    ['3.20', '3.*', true],
    ['3x20', '3.*', false],
    ['3.', '3.*', true],
    ['v1.1', 'v?.1', true],
    ['v10.1', 'v?.1', false],
    ['1.0-alpine', '*-alpine', true],
    ['1.0-alpine3', '*-alpine', false],
  ])('%s of %s: %s', (tag, glob, matches) => {
    expect(matchesGlob(tag, glob)).toBe(matches);
  });
});
