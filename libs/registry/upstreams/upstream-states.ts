import { type Bus, EVENT_MAJOR } from '#bus';
import type { Catalog } from '#catalog';
import type { Pause, Quota, Upstream } from '#upstream';
import type { Log } from '../ports.js';

/** One upstream (or mirror) as the whole installation sees it. */
export interface UpstreamStatus {
  readonly upstream: string;
  readonly configured: boolean;
  /** `remaining` in ms. */
  readonly pause?: Omit<Pause, 'until'> & { readonly remaining: number };
  /** Milliseconds for which some puller leaves it alone after repeated failures. */
  readonly failingFor?: number;
  readonly quota?: Omit<Quota, 'at'> & { readonly age: number };
}

interface Ports {
  readonly catalog: Pick<Catalog, 'upstreams'>;
  readonly bus: Bus;
  readonly upstream: Upstream;
  readonly log: Log;
}

const POLL_MS = 5_000;

/**
 * What all processes of the installation know of upstreams together: a pause found by one puller holds for all, also for
 * those that start later. The rows are the truth, the signal only makes it quick.
 */
export class UpstreamStates {
  private readonly reported = new Map<string, number>();
  /** Pauses of ours that are on their way to the row. */
  private readonly telling = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private unsubscribe: (() => void) | undefined;
  private refreshing = false;
  private again = false;

  constructor(private readonly ports: Ports) {}

  /** Follows what others find out, from now on; for processes that ask upstreams. Resolves when the present state is known. */
  async follow(): Promise<void> {
    this.unsubscribe = this.ports.bus.onSignal('upstream.paused', () => void this.refresh());
    this.timer = setInterval(() => void this.refresh(), POLL_MS);
    this.timer.unref();
    await this.refresh();
  }

  close(): void {
    clearInterval(this.timer);
    this.unsubscribe?.();
  }

  /** An upstream has told this process to stay away. */
  paused(upstream: string, pause: Pause): void {
    const ms = pause.until - Date.now();
    this.ports.log.warn(
      { upstream, cause: pause.cause, countedOnly: pause.countedOnly, seconds: Math.ceil(ms / 1000) },
      'upstream paused',
    );
    this.telling.add(upstream);
    this.ports.catalog.upstreams
      .pause(upstream, ms, pause)
      .finally(() => this.telling.delete(upstream))
      .then(
        () => this.signal(upstream, pause.until),
        (error: unknown) => this.ports.log.warn({ upstream, error: String(error) }, 'cannot tell others of the pause'),
      );
  }

  /** An upstream has failed this process too often; `until` in epoch ms. */
  failing(upstream: string, until: number): void {
    const failingFor = until - Date.now();
    this.ports.log.warn({ upstream, seconds: Math.ceil(failingFor / 1000) }, 'upstream failing, leaving it alone');
    this.report(upstream, { failingFor });
  }

  /** For operators: requests to `upstream` rest for `ms`. What is cached is served all the same. */
  async pause(upstream: string, ms: number): Promise<void> {
    await this.ports.catalog.upstreams.pause(upstream, ms, { cause: 'manual', countedOnly: false });
    this.signal(upstream, Date.now() + ms);
    await this.refresh();
  }

  /** Ends every pause of `upstream`. */
  async resume(upstream: string): Promise<void> {
    await this.ports.catalog.upstreams.resume(upstream);
    this.signal(upstream, 0);
    await this.refresh();
  }

  async list(): Promise<UpstreamStatus[]> {
    const rows = await this.ports.catalog.upstreams.list();
    const statuses = new Map<string, UpstreamStatus>(
      this.ports.upstream.states().map(({ upstream, configured }) => [upstream, { upstream, configured }]),
    );
    for (const { upstream, pause, failingFor, quota, quotaAge = 0 } of rows) {
      statuses.set(upstream, {
        configured: false,
        ...statuses.get(upstream),
        upstream,
        ...(pause ? { pause: { ...pause, cause: pause.cause as Pause['cause'] } } : {}),
        ...(failingFor === undefined ? {} : { failingFor }),
        ...(quota ? { quota: { ...(quota as Omit<Quota, 'at'>), age: quotaAge } } : {}),
      });
    }
    return [...statuses.values()].sort((a, b) => (a.upstream < b.upstream ? -1 : 1));
  }

  private signal(upstream: string, until: number): void {
    this.ports.bus.signal('upstream.paused', { v: EVENT_MAJOR, upstream, until });
  }

  /** One at a time; a call during one is followed by another. */
  private async refresh(): Promise<void> {
    this.again = true;
    if (this.refreshing) return;
    this.refreshing = true;
    try {
      while (this.again) {
        this.again = false;
        await this.exchange();
      }
    } catch (error) {
      this.ports.log.debug({ error: String(error) }, 'cannot read the state of upstreams');
    } finally {
      this.refreshing = false;
    }
  }

  private async exchange(): Promise<void> {
    const { catalog, upstream } = this.ports;
    for (const { upstream: host, quota } of upstream.states()) {
      if (!quota || this.reported.get(host) === quota.at) continue;
      this.reported.set(host, quota.at);
      const { at, ...rest } = quota;
      this.report(host, { quota: rest });
    }
    const paused = (await catalog.upstreams.list()).flatMap((row) => (row.pause ? [{ ...row.pause, ...row }] : []));
    const resting = new Set(paused.map((row) => row.upstream));
    for (const { upstream: host, cause, countedOnly, remaining } of paused)
      upstream.rest(host, { cause: cause as Pause['cause'], countedOnly, until: Date.now() + remaining });
    for (const { upstream: host, pause } of upstream.states())
      if (pause && !resting.has(host) && !this.telling.has(host)) upstream.rest(host, undefined);
  }

  private report(upstream: string, seen: { failingFor?: number; quota?: object }): void {
    this.ports.catalog.upstreams.report(upstream, seen).catch((error: unknown) => {
      this.ports.log.debug({ upstream, error: String(error) }, 'cannot report what an upstream said');
    });
  }
}
