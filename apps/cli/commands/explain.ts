import type { Explanation } from '#registry';
import type { AdminApi } from '../api.js';
import { formatted, type OutputFormat } from '../output.js';
import type { Surroundings } from '../serve.js';
import { bytesText, durationText } from '../text.js';

const VERDICTS: Readonly<Record<Explanation['verdict'], string>> = {
  serve: 'served from the cache',
  revalidate: 'served from the cache; the upstream is asked afterwards',
  ask: 'the upstream is asked first',
  pull: 'pulled from the upstream while the client waits',
  refuse: 'refused; no upstream is asked',
};

/** What the server would do for a reference, and why; nothing is pulled. */
export async function explainCommand(
  reference: string,
  output: OutputFormat,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  const explanation = await api.json<Explanation>('GET', '/explain', { query: { ref: reference }, signal });
  around.out(formatted(explanation, output, (wide) => textOf(explanation, wide)));
  return 0;
}

function textOf({ reference, verdict, why, cached, tag, upstream, pull }: Explanation, wide: boolean): string {
  const facts: [string, string][] = [['verdict', VERDICTS[verdict]]];
  for (const [at, reason] of why.entries()) facts.push([at === 0 ? 'because' : '', reason]);
  if (cached) {
    const { digest, size, parts, partsCached, mediaType } = cached;
    facts.push(['digest', digest], ['cached', `${partsCached} of ${parts} parts, manifest of ${bytesText(size)}`]);
    if (wide) facts.push(['media type', mediaType]);
  }
  if (tag) {
    const { freshness, age, freshFor, staleFor } = tag;
    const bounds = [
      ...(freshFor === undefined ? [] : [`fresh for ${durationText(freshFor)}`]),
      ...(staleFor === undefined ? [] : [`served stale for ${durationText(staleFor)}`]),
    ];
    facts.push(['tag', [`${freshness}, confirmed ${durationText(age)} ago`, ...bounds].join(', ')]);
  }
  if (upstream?.quota) {
    const { remaining, limit, age } = upstream.quota;
    facts.push(['rate limit', `${remaining} of ${limit} left, as told ${durationText(age)} ago`]);
  }
  if (pull) {
    const how = pull.state === 'running' ? 'runs' : pull.failure ? `failed: ${pull.failure}` : 'ended well';
    facts.push(['last pull', `${how}, ${durationText(pull.age)} ago`]);
  }
  const width = Math.max(...facts.map(([name]) => name.length));
  return `${reference}\n${facts.map(([name, text]) => `  ${name.padEnd(width)}  ${text}\n`).join('')}`;
}
