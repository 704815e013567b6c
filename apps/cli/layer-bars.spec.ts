import type { PreloadJob } from '#registry';
import type { AdminApi } from './api.js';
import { LayerBars } from './layer-bars.js';
import type { Progress } from './progress.js';

function image(reference: string, state: string, bytesDone: number, bytes: number) {
  return { reference, state, bytesDone, bytes } as unknown as PreloadJob['images'][number];
}
const job = (...images: PreloadJob['images'][number][]) => ({ images }) as unknown as PreloadJob;
const pull = (repository: string, reference: string, received: number, size: number) => ({
  ...{ kind: 'blob', upstream: 'quay.io', repository, reference, size },
  progress: { received },
});

function start(live: boolean) {
  const shown: [string, number, number][] = [];
  let items: object[] = [];
  let asked = 0;
  const api = {
    json: async () => {
      asked++;
      return { items };
    },
  } as unknown as AdminApi;
  const progress: Progress = {
    live,
    show: (name, done, total) => void shown.push([name, done, total]),
    line() {},
    stop() {},
  };
  const bars = new LayerBars(api, progress);
  const update = async (pulls: object[], ...images: PreloadJob['images'][number][]) => {
    shown.length = 0;
    items = pulls;
    await bars.update(job(...images), new AbortController().signal);
    return [...shown];
  };
  return { update, asked: () => asked };
}

const digest = `sha256:${'a'.repeat(64)}`;

it('shows the layers that are pulled for the images of the job, and all of it together', async () => {
  const { update } = start(true);
  const images = [image('quay.io/a/b:1', 'running', 10, 100), image('quay.io/c:1', 'queued', 0, 0)];
  const others = [
    pull('a/bc', digest, 1, 2),
    pull('c', digest, 1, 2),
    { ...pull('a/b', digest, 1, 2), kind: 'manifest' },
  ];
  expect(await update([pull('a/b', digest, 30, 90), ...others], ...images)).toEqual([
    ['total', 10, 100],
    ['  sha256:aaaaaaaaaaaa', 30, 90],
  ]);
  // It has ended: its bar goes.
  expect(await update(others, ...images)).toEqual([
    ['total', 10, 100],
    ['  sha256:aaaaaaaaaaaa', 90, 90],
  ]);
});

it('shows no total of one image', async () => {
  const { update } = start(true);
  expect(await update([], image('quay.io/a/b:1', 'running', 10, 100))).toEqual([]);
});

it('asks for nothing where no bars are drawn', async () => {
  const { update, asked } = start(false);
  await update([pull('a/b', digest, 30, 90)], image('quay.io/a/b:1', 'running', 10, 100));
  expect(asked()).toBe(0);
});
