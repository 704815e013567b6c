import { useState } from 'preact/hooks';
import type { Stats } from './api.js';
import { bytes, number, percent } from './format.js';
import { Card, Trouble } from './parts.js';
import { useApi } from './use.js';

const WINDOWS = ['1h', '24h', '30d'] as const;

export function Overview() {
  const [span, setSpan] = useState<(typeof WINDOWS)[number]>('24h');
  const { data: stats, error } = useApi<Stats>('stats', 5000);
  if (!stats) return <Trouble error={error} />;
  const usage = stats.usage[span];
  const { content, queue } = stats;
  return (
    <>
      <Trouble error={error} />
      <section>
        <h2>In the cache</h2>
        <div class="cards">
          <Card
            title="Stored"
            value={bytes(content.blobBytes + content.manifestBytes)}
            note={`${number(content.blobs)} blobs`}
          />
          <Card title="Tags" value={number(content.tags)} note={`${number(content.manifests)} manifests`} />
          <Card title="Repositories" value={number(content.repositories)} />
          <Card
            title="Queue"
            value={number(queue.interactive + queue.background)}
            note={`${number(queue.interactive)} somebody waits for`}
          />
        </div>
      </section>
      <section>
        <h2>
          What it was good for
          <span class="choices">
            {WINDOWS.map((each) => (
              <button key={each} type="button" aria-pressed={each === span} onClick={() => setSpan(each)}>
                {each}
              </button>
            ))}
          </span>
        </h2>
        <div class="cards">
          <Card
            title="Hit ratio"
            value={percent(usage.hitRatio)}
            note={`${number(usage.hits)} hits, ${number(usage.misses)} misses`}
          />
          <Card title="Served" value={bytes(usage.bytesServed)} note={`${bytes(usage.bytesFetched)} fetched`} />
          <Card
            title="Saved"
            value={bytes(usage.bytesSaved)}
            note={`${number(usage.upstreamRequestsSaved)} upstream requests`}
          />
          <Card title="Failures" value={number(usage.failures)} />
        </div>
        {usage.byUpstream.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>Upstream</th>
                <th class="number">Hit ratio</th>
                <th class="number">Hits</th>
                <th class="number">Misses</th>
                <th class="number">Failures</th>
                <th class="number">Served</th>
                <th class="number">Fetched</th>
                <th class="number">Requests to it</th>
              </tr>
            </thead>
            <tbody>
              {usage.byUpstream.map((row) => (
                <tr key={row.upstream}>
                  <td>{row.upstream}</td>
                  <td class="number">{percent(row.hitRatio)}</td>
                  <td class="number">{number(row.hits)}</td>
                  <td class="number">{number(row.misses)}</td>
                  <td class="number">{number(row.failures)}</td>
                  <td class="number">{bytes(row.bytesServed)}</td>
                  <td class="number">{bytes(row.bytesFetched)}</td>
                  <td class="number">{number(row.upstreamRequests)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
    </>
  );
}
