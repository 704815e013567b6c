import { useEffect, useState } from 'preact/hooks';
import { call, type Pull, type PullEvents, watchPulls } from './api.js';
import { ago, bytes, duration, number, short } from './format.js';
import { Bar, Trouble } from './parts.js';

/** What is pulled right now, as it happens. */
export function Pulls() {
  const [pulls, setPulls] = useState<PullEvents>();
  const [connected, setConnected] = useState(true);
  const [error, setError] = useState<string>();
  useEffect(() => watchPulls(setPulls, setConnected), []);
  const cancel = (key: string) => {
    setError(undefined);
    call(`pulls/${key}`, 'DELETE').catch((reason: Error) => setError(reason.message));
  };
  if (!pulls) return <Trouble error={connected ? undefined : 'The server does not answer.'} />;
  const rate = pulls.running.reduce((sum, { progress }) => sum + (progress?.bytesPerSecond ?? 0), 0);
  return (
    <>
      <Trouble error={connected ? error : 'The connection is lost; what is shown may be old.'} />
      <section>
        <h2>
          Running
          <small>
            {number(pulls.running.length)} now, {bytes(rate)}/s, {number(pulls.queue.interactive)} +{' '}
            {number(pulls.queue.background)} in the queue
          </small>
        </h2>
        {pulls.running.length === 0 ? (
          <p class="nothing">Nothing is being fetched.</p>
        ) : (
          <table>
            <thead>
              <tr>
                <th>What</th>
                <th>Progress</th>
                <th class="number">Received</th>
                <th class="number">Rate</th>
                <th class="number">Readers</th>
                <th class="number">For</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {pulls.running.map((pull) => (
                <Running key={pull.key} pull={pull} onCancel={() => cancel(pull.key)} />
              ))}
            </tbody>
          </table>
        )}
      </section>
      <section>
        <h2>Ended</h2>
        <table>
          <thead>
            <tr>
              <th>What</th>
              <th>Outcome</th>
              <th class="number">Size</th>
              <th class="number">Took</th>
              <th class="number">When</th>
            </tr>
          </thead>
          <tbody>
            {pulls.finished.map((pull) => (
              <tr key={pull.key}>
                <td>
                  <Name pull={pull} />
                </td>
                <td class={pull.state}>{pull.failure ? `${pull.failure.reason}: ${pull.failure.message}` : 'done'}</td>
                <td class="number">{pull.size === undefined ? '' : bytes(pull.size)}</td>
                <td class="number">{pull.durationMs === undefined ? '' : duration(pull.durationMs)}</td>
                <td class="number">{pull.finishedAt && ago(pull.finishedAt)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

function Running({ pull, onCancel }: { pull: Pull; onCancel(): void }) {
  const { progress, size } = pull;
  return (
    <tr>
      <td>
        <Name pull={pull} />
      </td>
      <td>
        <Bar part={progress && size ? progress.received / size : undefined} />
      </td>
      <td class="number">
        {progress ? bytes(progress.received) : ''}
        {size === undefined ? '' : ` of ${bytes(size)}`}
      </td>
      <td class="number">{progress ? `${bytes(progress.bytesPerSecond)}/s` : ''}</td>
      <td class="number">{progress?.readers ?? ''}</td>
      <td class="number">{duration(Math.max(0, Date.now() - Date.parse(pull.startedAt)))}</td>
      <td class="number">
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </td>
    </tr>
  );
}

function Name({ pull: { kind, upstream, repository, reference, attempt } }: { pull: Pull }) {
  const what = reference === undefined ? '' : reference.includes(':') ? `@${short(reference)}` : `:${reference}`;
  return (
    <>
      <span class="kind">{kind}</span> {upstream}/{repository}
      {what}
      {attempt > 1 && <small> attempt {attempt}</small>}
    </>
  );
}
