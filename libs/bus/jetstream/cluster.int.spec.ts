import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred } from '#async';
import { freePort } from '../../../test/support/services/index.js';
import { programPath } from '../../../test/support/services/local.js';
import { createWorker, done, eventually, Journal, later, pull } from '../harness.contract.js';
import { connectJetStream, type JetStreamBus } from './bus.js';
import { JetStreamStrategy } from './strategy.js';

interface Node {
  readonly name: string;
  readonly url: string;
  readonly process: ChildProcess;
}

/** Three NATS servers with one JetStream. Always local processes: they must reach each other by the same addresses. */
async function startCluster(directory: string): Promise<Node[]> {
  const program = await programPath('nats-server');
  const ports = await Promise.all(Array.from({ length: 6 }, () => freePort()));
  const routes = ports
    .slice(3)
    .map((port) => `nats://127.0.0.1:${port}`)
    .join(',');
  return ports.slice(0, 3).map((port, n) => {
    const name = `node${n}`;
    const client = ['-a', '127.0.0.1', '-p', `${port}`, '-n', name];
    const cluster = ['--cluster_name', 'test', '--cluster', `nats://127.0.0.1:${ports[n + 3]}`, '--routes', routes];
    const args = [...client, ...cluster, '-js', '-sd', join(directory, name)];
    return { name, url: `nats://127.0.0.1:${port}`, process: spawn(program, args, { stdio: 'ignore' }) };
  });
}

async function stop({ process }: Node): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exited = once(process, 'exit');
  process.kill('SIGKILL');
  await exited;
}

const slots = { interactive: 4, background: 2 };
let directory: string;
let nodes: Node[];
let bus: JetStreamBus;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ociregistry-nats-cluster-'));
  nodes = await startCluster(directory);
  const servers = nodes.map(({ url }) => url);
  // The cluster elects its leader first; until then setting up the queue is refused.
  const connected = await eventually(
    () => connectJetStream({ servers, replicas: 3, lease: 10_000 }).catch(() => undefined),
    (answer) => answer !== undefined,
  );
  bus = connected as JetStreamBus;
}, 120_000);
afterAll(async () => {
  await bus?.close();
  await Promise.all((nodes ?? []).map(stop));
  await rm(directory, { recursive: true, force: true });
});

const empty = () =>
  eventually(
    () => bus.depth().catch(() => undefined),
    (depth) => depth?.interactive === 0,
  );

it('keeps the queue on three nodes', async () => {
  const { config, cluster } = await bus.link.manager.streams.info(bus.link.names.stream);
  expect(config.num_replicas).toBe(3);
  expect(cluster?.replicas).toHaveLength(2);
});

it('refuses a key while it is queued, in flight and redelivered, and accepts it after the acknowledgement', async () => {
  const many = Array.from({ length: 50 }, (_, n) => n);
  const publishAll = () => Promise.all(many.map((n) => bus.requestPull(pull(n))));
  const all = (answer: string) => many.map(() => answer);
  expect(await publishAll()).toEqual(all('queued'));
  expect(await publishAll()).toEqual(all('coalesced'));
  const deliveries = new Map<string, number>();
  const [seen, gate] = [new Journal<string>(), new Deferred()];
  const strategy = new JetStreamStrategy(bus, { slots: { interactive: many.length, background: 1 } });
  const worker = await createWorker(strategy, async ({ key }) => {
    const delivery = (deliveries.get(key) ?? 0) + 1;
    deliveries.set(key, delivery);
    seen.add(key);
    if (delivery === 1) return later(10);
    await gate.promise;
    return done;
  });
  await worker.listen();
  await seen.reached(many.length);
  expect(await publishAll()).toEqual(all('coalesced'));
  await seen.reached(2 * many.length);
  expect(await publishAll()).toEqual(all('coalesced'));
  gate.resolve();
  await empty();
  expect([...deliveries.values()]).toEqual(many.map(() => 2));
  await worker.close();
  expect(await publishAll()).toEqual(all('queued'));
  await bus.link.manager.streams.purge(bus.link.names.stream);
}, 60_000);

it('goes on when the node that leads the queue dies', async () => {
  const seen = new Journal<string>();
  const worker = await createWorker(new JetStreamStrategy(bus, { slots }), ({ key }) => {
    seen.add(key);
    return done;
  });
  await worker.listen();
  await bus.requestPull(pull(1000));
  await seen.reached(1);
  const { cluster } = await bus.link.manager.streams.info(bus.link.names.stream);
  const leader = nodes.find(({ name }) => name === cluster?.leader);
  expect(leader).toBeDefined();
  await stop(leader as Node);
  const keys = Array.from({ length: 20 }, (_, n) => 2000 + n);
  await Promise.all(
    keys.map((n) =>
      eventually(
        () => bus.requestPull(pull(n)).catch(() => 'refused'),
        (answer) => answer !== 'refused',
      ),
    ),
  );
  await eventually(
    async () => new Set(seen.entries).size,
    (size) => size === keys.length + 1,
  );
  await empty();
  await worker.close();
}, 60_000);
