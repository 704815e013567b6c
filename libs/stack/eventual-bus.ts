import type { Bus, Lane, PullRequested, SignalName, Signals } from '#bus';
import { notYet } from './dependency.js';

/** A bus that is still being connected. Subscriptions made meanwhile are carried over; nothing else is queued. */
export class EventualBus implements Bus {
  private bus: Bus | undefined;
  private readonly early: ((bus: Bus) => void)[] = [];

  connected(bus: Bus): void {
    this.bus = bus;
    for (const subscribe of this.early.splice(0)) subscribe(bus);
  }

  requestPull(event: PullRequested): Promise<'queued' | 'coalesced'> {
    return this.bus ? this.bus.requestPull(event) : Promise.reject(notYet('bus'));
  }

  signal<N extends SignalName>(name: N, payload: Signals[N]): void {
    this.bus?.signal(name, payload);
  }

  onSignal<N extends SignalName>(name: N, handler: (payload: Signals[N]) => void): () => void {
    if (this.bus) return this.bus.onSignal(name, handler);
    let off: (() => void) | undefined;
    let cancelled = false;
    this.early.push((bus) => {
      if (!cancelled) off = bus.onSignal(name, handler);
    });
    return () => {
      cancelled = true;
      off?.();
    };
  }

  queued(limit: number): Promise<PullRequested[]> {
    return this.bus ? this.bus.queued(limit) : Promise.reject(notYet('bus'));
  }

  withdraw(key: string): Promise<PullRequested | undefined> {
    return this.bus ? this.bus.withdraw(key) : Promise.reject(notYet('bus'));
  }

  depth(): Promise<Record<Lane, number>> {
    return this.bus ? this.bus.depth() : Promise.reject(notYet('bus'));
  }

  oldest(): Promise<Record<Lane, number>> {
    return this.bus ? this.bus.oldest() : Promise.reject(notYet('bus'));
  }

  ping(): Promise<void> {
    return this.bus ? this.bus.ping() : Promise.reject(notYet('bus'));
  }
}
