import type { INestMicroservice } from '@nestjs/common';
import { type NatsService, startNats } from '../../../test/support/services/index.js';
import { createWorker, type Handle } from '../harness.contract.js';
import { connectJetStream, type JetStreamBus } from './bus.js';
import type { JetStreamOptions } from './options.js';
import { JetStreamStrategy } from './strategy.js';

export const slots = { interactive: 4, background: 2 };

/** One NATS server for the tests of a file; to be asked for once they run. */
export function sharedNats(): () => NatsService {
  let nats: NatsService;
  beforeAll(async () => {
    nats = await startNats();
  }, 120_000);
  afterAll(() => nats.stop());
  return () => nats;
}

/** Opens what ends with its test, the last one first. */
export function openings() {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  return {
    onEnd: (end: () => unknown) => void ends.push(end),
    async connect(options: JetStreamOptions): Promise<JetStreamBus> {
      const bus = await connectJetStream(options);
      ends.push(() => bus.close());
      return bus;
    },
    async work(bus: JetStreamBus, handle: Handle): Promise<INestMicroservice> {
      const worker = await createWorker(new JetStreamStrategy(bus, { slots }), handle);
      ends.push(() => worker.close());
      await worker.listen();
      return worker;
    },
  };
}
