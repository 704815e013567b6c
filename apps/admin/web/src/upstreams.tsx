import { useState } from 'preact/hooks';
import { call, type Upstream, type UpstreamState } from './api.js';
import { duration, number } from './format.js';
import { Trouble } from './parts.js';
import { useApi } from './use.js';

/** Seconds of a pause that an operator begins here. */
const PAUSE = 15 * 60;

export function Upstreams() {
  const { data: totals, error } = useApi<{ items: Upstream[] }>('upstreams', 10_000);
  const { data: states, reload } = useApi<{ items: UpstreamState[] }>('upstreams/states', 3000);
  const [trouble, setTrouble] = useState<string>();
  const change = (host: string, action: 'pause' | 'resume') => {
    setTrouble(undefined);
    call(
      `upstreams/${encodeURIComponent(host)}/${action}`,
      'POST',
      action === 'pause' ? { seconds: PAUSE } : undefined,
    ).then(reload, (reason: Error) => setTrouble(reason.message));
  };
  if (!totals || !states) return <Trouble error={error} />;
  const hosts = [...new Set([...totals.items, ...states.items].map(({ upstream }) => upstream))].sort();
  return (
    <section>
      <h2>Upstreams</h2>
      <Trouble error={trouble ?? error} />
      {hosts.length === 0 && <p class="nothing">Nothing was pulled yet.</p>}
      <table>
        <thead>
          <tr>
            <th>Host</th>
            <th>State</th>
            <th>Rate limit</th>
            <th class="number">Repositories</th>
            <th class="number">Tags</th>
            <th class="number">Manifests</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {hosts.map((host) => {
            const total = totals.items.find(({ upstream }) => upstream === host);
            const state = states.items.find(({ upstream }) => upstream === host);
            return (
              <tr key={host}>
                <td>
                  {host} {(total ?? state)?.configured && <small>configured</small>}
                </td>
                <td>{stateOf(state)}</td>
                <td>{quotaOf(state)}</td>
                <td class="number">{number(total?.repositories ?? 0)}</td>
                <td class="number">{number(total?.tags ?? 0)}</td>
                <td class="number">{number(total?.manifests ?? 0)}</td>
                <td class="number">
                  {state?.pause ? (
                    <button type="button" onClick={() => change(host, 'resume')}>
                      Resume
                    </button>
                  ) : (
                    <button type="button" onClick={() => change(host, 'pause')} title="for 15 minutes">
                      Pause
                    </button>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

function stateOf(state: UpstreamState | undefined) {
  if (state?.pause) {
    const { cause, remaining } = state.pause;
    return <span class="failed">{`paused (${cause}) for ${duration(remaining)}`}</span>;
  }
  if (state?.failingFor) return <span class="failed">{`failing, tried again in ${duration(state.failingFor)}`}</span>;
  return 'well';
}

function quotaOf(state: UpstreamState | undefined): string {
  const { quota } = state ?? {};
  if (!quota) return '';
  const window = quota.window === undefined ? '' : ` in ${duration(quota.window * 1000)}`;
  return `${number(quota.remaining)} left of ${number(quota.limit)}${window}`;
}
