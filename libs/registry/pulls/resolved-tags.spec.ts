import type { Bus, Signals } from '#bus';
import type { Digest, Repository } from '#oci';
import { ResolvedTags } from './resolved-tags.js';

const HERE: Repository = { upstream: 'docker.io', path: 'team/here' };
const digest = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}` as Digest;

function opened() {
  const handlers = new Map<string, (payload: never) => void>();
  const bus = {
    onSignal: (name: string, handler: (payload: never) => void) => {
      handlers.set(name, handler);
      return () => handlers.delete(name);
    },
  };
  const tell = <N extends keyof Signals>(name: N, payload: Omit<Signals[N], 'v'>) =>
    handlers.get(name)?.({ v: 1, ...payload } as never);
  const resolve = (tag: string, n: number, repository = HERE) =>
    tell('tag.resolved', { repository, tag, digest: digest(n), mediaType: 'a/b', size: 1 });
  return { tags: new ResolvedTags(bus as never as Bus), tell, resolve };
}

it('knows every tag that was told to name a manifest, of its repository only', () => {
  const { tags, resolve } = opened();
  resolve('v1', 1);
  resolve('latest', 1);
  resolve('v2', 2);
  resolve('v3', 1, { ...HERE, path: 'team/there' });
  expect(tags.of(HERE, digest(1))).toEqual(['v1', 'latest']);
  expect(tags.of(HERE, digest(2))).toEqual(['v2']);
  expect(tags.of(HERE, digest(3))).toEqual([]);
});

it('takes back what was told before when a tag names another manifest, or is known by more than a HEAD', () => {
  const { tags, tell, resolve } = opened();
  resolve('latest', 1);
  resolve('latest', 2);
  expect([tags.of(HERE, digest(1)), tags.of(HERE, digest(2))]).toEqual([[], ['latest']]);
  tell('tag.moved', { repository: HERE, tag: 'latest', digest: digest(3) });
  expect(tags.of(HERE, digest(2))).toEqual([]);
});
