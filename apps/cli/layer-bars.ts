import type { PreloadJob } from '#registry';
import type { AdminApi } from './api.js';
import type { Progress } from './progress.js';

interface RunningPull {
  readonly kind: string;
  readonly upstream: string;
  readonly repository: string;
  readonly reference?: string;
  readonly size?: number;
  readonly progress?: { readonly received: number };
}

const MOST = 20;
const SHORT = 'sha256:'.length + 12;

/** Bars of the layers that are being pulled for the images of a job, and of all of it together. */
export class LayerBars {
  /** Sizes of what has a bar. */
  private shown = new Map<string, number>();

  constructor(
    private readonly api: AdminApi,
    private readonly progress: Progress,
  ) {}

  async update({ images }: PreloadJob, signal: AbortSignal): Promise<void> {
    if (!this.progress.live) return;
    if (images.length > 1) {
      const sum = (of: (image: PreloadJob['images'][number]) => number) =>
        images.reduce((all, one) => all + of(one), 0);
      const ended = images.every(({ state }) => state !== 'queued' && state !== 'running');
      // While images are queued nobody knows how many bytes they have.
      if (!ended)
        this.progress.show(
          'total',
          sum((one) => one.bytesDone),
          sum((one) => one.bytes),
        );
    }
    const running = images.filter(({ state }) => state === 'running').map(({ reference }) => reference);
    const query = { state: 'running', limit: MOST };
    const { items } = await this.api.json<{ items: RunningPull[] }>('GET', '/pulls', { query, signal });
    const before = this.shown;
    this.shown = new Map();
    for (const { kind, upstream, repository, reference = '', size, progress } of items) {
      const name = `${upstream}/${repository}`;
      const mine = running.some((image) => image.startsWith(`${name}:`) || image.startsWith(`${name}@`));
      if (kind !== 'blob' || !mine || !size || !progress || progress.received >= size) continue;
      const bar = `  ${reference.slice(0, SHORT)}`;
      this.progress.show(bar, progress.received, size);
      this.shown.set(bar, size);
    }
    for (const [name, size] of before) if (!this.shown.has(name)) this.progress.show(name, size, size);
  }
}
