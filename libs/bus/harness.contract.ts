import { Controller, type INestMicroservice, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { Deferred } from '#async';
import { type Lane, type PullRequested, pullKey } from './events.js';
import type { Delivery, Verdict } from './port.js';
import { PULL_REQUESTED, type PullServer } from './pull-server.js';

export type Handle = (event: PullRequested, delivery: Delivery) => Verdict | Promise<Verdict>;

const HANDLE = Symbol('handle');
export const done: Verdict = { verdict: 'done' };
export const later = (delayMs: number): Verdict => ({ verdict: 'later', delayMs });

@Controller()
class PullController {
  constructor(@Inject(HANDLE) private readonly handle: Handle) {}

  @EventPattern<string>(PULL_REQUESTED)
  async pull(@Payload() event: PullRequested, @Ctx() delivery: Delivery): Promise<Verdict> {
    return this.handle(event, delivery);
  }
}

/** A Nest microservice on `strategy`, not yet listening. */
export function createWorker(strategy: PullServer, handle: Handle): Promise<INestMicroservice> {
  @Module({ controllers: [PullController], providers: [{ provide: HANDLE, useValue: handle }] })
  class WorkerModule {}
  return NestFactory.createMicroservice(WorkerModule, { strategy, logger: false });
}

/** A pull of a blob whose digest is made of `n`. */
export function pull(n: number, lane: Lane = 'interactive'): PullRequested {
  const repository = { upstream: 'docker.io', path: 'library/alpine' };
  const target = { kind: 'blob', repository, digest: `sha256:${n.toString(16).padStart(64, '0')}` } as const;
  return { v: 1, key: pullKey(target), target, lane, cause: lane === 'interactive' ? 'client' : 'prefetch' };
}

/** A pull of the tag `n`. */
export function lightPull(n: number): PullRequested {
  const repository = { upstream: 'docker.io', path: 'library/alpine' };
  const target = { kind: 'manifest', repository, reference: `${n}` } as const;
  return { v: 1, key: pullKey(target), target, lane: 'interactive', cause: 'client' };
}

/** What handlers were given, in order; `reached` waits until there are so many. */
export class Journal<T> {
  readonly entries: T[] = [];
  private readonly waiting: { count: number; reached: Deferred }[] = [];

  add(entry: T): void {
    this.entries.push(entry);
    for (const { count, reached } of this.waiting) if (this.entries.length >= count) reached.resolve();
  }

  async reached(count: number): Promise<void> {
    if (this.entries.length >= count) return;
    const reached = new Deferred();
    this.waiting.push({ count, reached });
    await reached.promise;
  }
}

/** Asks again and again; the test's own time limit ends it. */
export async function eventually<T>(ask: () => Promise<T>, good: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
