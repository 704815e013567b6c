import { Logger } from '@nestjs/common';
import { type CustomTransportStrategy, type MessageHandler, Server } from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import { backoff } from '#async';
import type { PullRequested } from './events.js';
import type { Delivery, Verdict } from './port.js';
import { type SlotLimits, Slots } from './slots.js';

/** The pattern of the one handler: `@EventPattern<string>(PULL_REQUESTED) handle(@Payload() event, @Ctx() delivery): Promise<Verdict>`. */
export const PULL_REQUESTED = 'pull.requested';

/** Milliseconds until a worker that is too old looks again at an event of a newer major. */
export const NEWER_MAJOR_DELAY = 30_000;

/** Milliseconds until the `attempt`th (1, 2, ...) delivery whose handler threw is followed by the next. */
export const retryDelay = (attempt: number): number => backoff(attempt - 1, 1_000, 30_000);

export interface PullServerOptions {
  readonly slots: SlotLimits;
}

/** What both transport strategies share: finding the Nest handler, running it, reading its verdict. */
export abstract class PullServer extends Server implements CustomTransportStrategy {
  /** Failures come back to us as the message's fate; without this, Nest would log them as lost. */
  override readonly propagatesEventHandlerErrors = true;
  protected override readonly logger = new Logger(PullServer.name);
  protected readonly slots: Slots;
  private handler: MessageHandler | undefined;
  private closing: Promise<void> | undefined;

  constructor(options: PullServerOptions) {
    super();
    this.slots = new Slots(options.slots);
  }

  override listen(callback: (error?: unknown) => void): void {
    const handler = this.getHandlerByPattern(PULL_REQUESTED);
    if (!handler || handler.next) {
      callback(new Error(`exactly one handler of ${PULL_REQUESTED} is needed`));
      return;
    }
    this.handler = handler;
    this.start().then(() => callback(), callback);
  }

  /** Begins to deliver. */
  protected abstract start(): Promise<void>;
  /** Stops taking messages; those that run go on. */
  protected abstract stop(): Promise<void>;

  /** Takes no more messages, then waits for the handlers that run. The caller bounds the wait. */
  override close(): Promise<void> {
    this.closing ??= this.stop().then(() => this.slots.whenIdle());
    return this.closing;
  }

  protected get closed(): boolean {
    return this.closing !== undefined;
  }

  /**
   * The handler's verdict; rejects when it threw. `Server.handleEvent` drops what a handler answers, so the registered
   * one is called directly: an observable when an interceptor or the exception layer made one, else the plain value.
   */
  protected async handle(event: PullRequested, delivery: Delivery): Promise<Verdict> {
    const answer: unknown = await this.handler?.(event, delivery as never);
    const verdict = (isObservable(answer) ? await lastValueFrom(answer) : answer) as Verdict | undefined;
    if (verdict?.verdict !== 'done' && verdict?.verdict !== 'later') {
      this.logger.error(`the handler of ${PULL_REQUESTED} answered no verdict`);
      throw new Error('no verdict');
    }
    return verdict;
  }

  override on(): never {
    throw new Error('this transport has no events of its own');
  }

  override unwrap<T>(): T {
    throw new Error('the bus is the server behind this transport');
  }
}
