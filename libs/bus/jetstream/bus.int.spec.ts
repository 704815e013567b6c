import { randomBytes } from 'node:crypto';
import { type NatsService, startNats } from '../../../test/support/services/index.js';
import { busContract } from '../bus.contract.js';

import { connectJetStream, type JetStreamBus } from './bus.js';
import { JetStreamStrategy } from './strategy.js';

let nats: NatsService;
beforeAll(async () => {
  nats = await startNats();
}, 120_000);
afterAll(() => nats.stop());

busContract<JetStreamBus>(async () => {
  const prefix = `t${randomBytes(6).toString('hex')}`;
  const buses: JetStreamBus[] = [];
  return {
    async connect() {
      const bus = await connectJetStream({ servers: [nats.url], prefix });
      buses.push(bus);
      return bus;
    },
    strategy: (bus, slots) => new JetStreamStrategy(bus, { slots }),
    async put({ link }, lane, key, message) {
      await link.client.publish(link.names.pull(lane, key), JSON.stringify(message));
    },
    async end() {
      await Promise.all(buses.map((bus) => bus.close()));
    },
  };
});
