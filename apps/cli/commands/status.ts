import type { UpstreamStatus } from '#registry';
import type { AdminApi, Readiness } from '../api.js';
import { type Column, formatted, type OutputFormat, table } from '../output.js';
import type { Surroundings } from '../serve.js';
import { bytesText, durationText } from '../text.js';

interface Used {
  readonly hits: number;
  readonly misses: number;
  readonly failures: number;
  readonly hitRatio: number | null;
  readonly bytesServed: number;
  readonly bytesSaved: number;
  readonly upstreamRequestsSaved: number;
}

interface Stats {
  readonly content: Readonly<
    Record<'repositories' | 'tags' | 'manifests' | 'blobs' | 'manifestBytes' | 'blobBytes', number>
  >;
  readonly usage: Readonly<Record<'1h' | '24h' | '30d', Used>>;
  readonly queue: Readonly<Record<'interactive' | 'background', number>>;
}

interface Pull {
  readonly kind: string;
  readonly upstream: string;
  readonly repository: string;
  readonly reference?: string;
  readonly worker: string;
  readonly size?: number;
  readonly attempt: number;
  readonly startedAt: string;
}

interface Status extends Readiness {
  readonly server: string;
  readonly stats?: Stats;
  readonly pulls?: readonly Pull[];
  readonly upstreams?: readonly UpstreamStatus[];
}

const MOST_PULLS = 1000;

/** How a server is: 0 when everything that it depends on answers, 1 when not, with what does not on stderr. */
export async function statusCommand(
  output: OutputFormat,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  const readiness = await api.readiness(signal);
  const status: Status = { server: api.url, ...readiness, ...(readiness.ready ? await details(api, signal) : {}) };
  around.out(formatted(status, output, (wide) => textOf(status, wide)));
  const down = Object.entries(readiness.dependencies).filter(([, { status: how }]) => how !== 'up');
  for (const [name, { message }] of down)
    around.err(`ociregistry: ${name} does not answer: ${message ?? 'no reason'}\n`);
  return readiness.ready ? 0 : 1;
}

async function details(api: AdminApi, signal: AbortSignal) {
  const ask = <T>(path: string, query = {}) => api.json<T>('GET', path, { query, signal });
  const [stats, pulls, upstreams] = await Promise.all([
    ask<Stats>('/stats'),
    ask<{ items: Pull[] }>('/pulls', { state: 'running', limit: MOST_PULLS }),
    ask<{ items: UpstreamStatus[] }>('/upstreams/states'),
  ]);
  return { stats, pulls: pulls.items, upstreams: upstreams.items };
}

function textOf({ server, ready, dependencies, stats, pulls = [], upstreams = [] }: Status, wide: boolean): string {
  const names = Object.entries(dependencies).map(([name, { status }]) => `${name} ${status}`);
  const facts: [string, string][] = [
    ['server', server],
    ['state', ready ? 'ready' : 'not ready'],
    ['depends on', names.join(', ')],
  ];
  if (stats) {
    const { content, usage, queue } = stats;
    facts.push(
      ['images', `${content.tags} tags, ${content.manifests} manifests in ${content.repositories} repositories`],
      ['blobs', `${content.blobs}, ${bytesText(content.blobBytes)}`],
      ...(['1h', '24h', '30d'] as const).map((span): [string, string] => [`last ${span}`, usedText(usage[span])]),
      [
        'pulls',
        `${pulls.length} running; ${queue.interactive} that clients wait for and ${queue.background} in the background are queued or running`,
      ],
    );
  }
  const width = Math.max(...facts.map(([name]) => name.length));
  const parts = [facts.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join('')];
  const troubled = wide ? upstreams : upstreams.filter(({ pause, failingFor }) => pause || failingFor);
  if (troubled.length > 0) parts.push(table(troubled, UPSTREAMS, { wide }));
  if (wide && pulls.length > 0) parts.push(table(pulls, PULLS));
  return parts.join('\n');
}

function usedText({ hits, misses, failures, hitRatio, bytesServed, bytesSaved, upstreamRequestsSaved }: Used): string {
  if (hits + misses + failures === 0) return 'no requests';
  const ratio = hitRatio === null ? '' : `, ${(hitRatio * 100).toFixed(1)} % hits`;
  return `${hits + misses} requests${ratio}, ${failures} failed, ${bytesText(bytesServed)} served, saved ${bytesText(bytesSaved)} and ${upstreamRequestsSaved} upstream requests`;
}

const UPSTREAMS: readonly Column<UpstreamStatus>[] = [
  { header: 'UPSTREAM', value: ({ upstream }) => upstream },
  {
    header: 'STATE',
    value: ({ pause, failingFor }) =>
      pause
        ? `rests for ${durationText(pause.remaining)} (${pause.cause})`
        : failingFor
          ? `failing, left alone for ${durationText(failingFor)}`
          : 'ok',
  },
  { header: 'QUOTA', value: ({ quota }) => (quota ? `${quota.remaining} of ${quota.limit}` : '-'), wide: true },
  { header: 'CONFIGURED', value: ({ configured }) => (configured ? 'yes' : 'no'), wide: true },
];

const PULLS: readonly Column<Pull>[] = [
  { header: 'PULL', value: ({ kind, upstream, repository }) => `${kind} ${upstream}/${repository}` },
  { header: 'REFERENCE', value: ({ reference }) => reference ?? '-' },
  { header: 'SIZE', value: ({ size }) => (size === undefined ? '-' : bytesText(size)), align: 'right' },
  { header: 'SINCE', value: ({ startedAt }) => durationText(Date.now() - Date.parse(startedAt)), align: 'right' },
  { header: 'ATTEMPT', value: ({ attempt }) => String(attempt), align: 'right' },
  { header: 'WORKER', value: ({ worker }) => worker },
];
