import { digestOfBody, get } from '../../support/client.js';
import type { AddedImage, FakeUpstream } from '../../support/upstream/index.js';

interface Trial {
  readonly upstream: FakeUpstream;
  readonly gateways: readonly string[];
  /** Asks for a prune; refused ones are no matter. */
  prune(rule: object): Promise<void>;
  readonly seed: number;
  readonly seconds: number;
}

const CLIENTS = 6;
const IMAGES = 8;

/** Numbers from 0 to 1, the same for the same seed. */
function sequence(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Clients pull images that share layers, whole or in parts, over all gateways, while they are pruned by pattern, by age and
 * to sizes. Every answer must be 200 and whole, with the bytes that its digest says.
 */
export async function pruneAgainstPulls({ upstream, gateways, prune, seed, seconds }: Trial) {
  const until = Date.now() + seconds * 1000;
  const images = Array.from({ length: IMAGES }, (_, n): { path: string; image: AddedImage } => ({
    path: `soak/app${n}`,
    // Pairs share their first layers.
    image: upstream.addImage({
      repository: `soak/app${n}`,
      tag: 'v1',
      seed: 900 + Math.floor(n / 2),
      layers: [2000, 90_000, 1_300_000].slice(0, 2 + (n % 2)),
      ...(n % 3 === 0 ? { platforms: ['linux/amd64', 'linux/arm64'] } : {}),
    }),
  }));
  const failures: string[] = [];
  let pulls = 0;
  let prunes = 0;
  const client = async (n: number) => {
    const random = sequence(seed * 100 + n);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
    const ask = async (path: string, digest?: string) => {
      const answer = await get(`${pick(gateways)}/v2/${upstream.host}/${path}`);
      const right = answer.status === 200 && !answer.cut && (!digest || digestOfBody(answer.body) === digest);
      if (!right) failures.push(`${path}: ${answer.status} ${answer.cut ? 'cut' : answer.body.subarray(0, 300)}`);
    };
    while (Date.now() < until && failures.length < 10) {
      const { path, image } = pick(images);
      const one = pick(image.images);
      await ask(`${path}/manifests/v1`);
      await ask(`${path}/manifests/${one.digest}`, one.digest);
      for (const { digest } of [one.config, ...one.layers])
        if (random() < 0.8) await ask(`${path}/blobs/${digest}`, digest);
      pulls++;
    }
  };
  const pruner = async () => {
    const random = sequence(seed);
    while (Date.now() < until) {
      const kind = Math.floor(random() * 4);
      const n = Math.floor(random() * IMAGES);
      if (kind === 0) await prune({ pattern: `soak/app${n}` });
      else if (kind === 1) await prune({ pattern: 'soak/' });
      else if (kind === 2) await prune({ unusedFor: '1s', pattern: 'soak/' });
      else await prune({ toSize: Math.floor(random() * 4_000_000) });
      prunes++;
    }
  };
  await Promise.all([pruner(), ...Array.from({ length: CLIENTS }, (_, n) => client(n))]);
  return { failures, pulls, prunes };
}
