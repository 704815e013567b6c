import fc from 'fast-check';
import type { Lane } from '#bus';
import { leaseKey } from '../../libs/registry/pulls/lease-key.js';
import { eventually } from '../support/eventually.js';
import type { Answer, Puller, System } from './system.js';

/** One pull as docs/pulls.md draws it. */
export interface Model {
  row?: { state: 'running' | 'finished'; holder: string; attempt: number; over: boolean };
  /** GETs that the upstream has seen. */
  fetches: number;
  held: boolean;
  /** Answers of the upstream that some client may be told of. */
  readonly bad: Set<string>;
}

export interface Real {
  readonly system: System;
  /** Ends the lease without waiting for it. */
  lapse(key: string): Promise<void>;
  /** How downloads ended, those that have. */
  readonly outcomes: string[];
  readonly downloads: Promise<void>[];
}

type Command = fc.AsyncCommand<Model, Real>;

const REASONS: Readonly<Record<Answer, string>> = {
  right: 'right',
  wrong: 'UPSTREAM_CONTENT',
  broken: 'UPSTREAM_ERROR',
};

/** What is true after every command. */
async function agree(model: Model, { system, outcomes }: Real): Promise<void> {
  const row = await system.row(leaseKey(system.target));
  expect(row && { state: row.state, holder: row.worker, attempt: row.attempt }).toEqual(
    model.row && { state: model.row.state, holder: model.row.holder, attempt: model.row.attempt },
  );
  expect(system.fetches).toBe(model.fetches);
  // Only who was given bad bytes by the upstream may fail, and for that; a dead puller or a lost signal is no reason.
  expect(outcomes.filter((outcome) => outcome !== 'right' && !model.bad.has(outcome))).toEqual([]);
  const atWork = system.openGets().filter(({ puller }) => puller.name === model.row?.holder);
  expect(atWork.length).toBeLessThanOrEqual(1);
}

/** A client asks, perhaps late, perhaps while others do. */
class Asks implements Command {
  constructor(readonly gateway: number) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    real.downloads.push(real.system.pull(this.gateway).then((outcome) => void real.outcomes.push(outcome)));
    await new Promise(setImmediate);
    await agree(model, real);
  }
  toString = () => `ask(gateway ${this.gateway})`;
}

/** An image's manifest has come, and its parts are wanted in the background. */
class Prefetches implements Command {
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    await real.system.prefetch();
    await agree(model, real);
  }
  toString = () => 'prefetch';
}

/** A worker with a free slot is given the next message of a lane, for the first time or again. */
class Delivers implements Command {
  constructor(
    readonly puller: number,
    readonly lane: Lane,
  ) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    const { system } = real;
    const puller = system.pullers[this.puller] as Puller;
    if (puller.busy.has(this.lane) || !puller.take(this.lane)) return;
    const work = puller.busy.get(this.lane);
    const { row } = model;
    const free = !row || row.state === 'finished' || row.over;
    const runsAlready = system.openGets().some((get) => get.puller === puller);
    if (model.held || runsAlready || !free) {
      // Held already, promoted, or held by somebody else: told, or put back, at once.
      await work?.ended;
    } else {
      model.row = {
        state: 'running',
        holder: puller.name,
        attempt: row?.state === 'running' ? row.attempt + 1 : 1,
        over: false,
      };
      model.fetches++;
      await eventually(async () => expect(system.openGets().some((get) => get.puller === puller)).toBe(true));
    }
    await agree(model, real);
  }
  toString = () => `deliver(puller ${this.puller}, ${this.lane})`;
}

/** The upstream sends the rest of a body, or a wrong rest, or nothing more. */
class Answers implements Command {
  constructor(
    readonly which: number,
    readonly answer: Answer,
  ) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    const { system } = real;
    const open = system.openGets();
    if (open.length === 0) return;
    const get = open[this.which % open.length]!;
    const works = [...get.puller.busy.values()];
    const holds = model.row?.state === 'running' && model.row.holder === get.puller.name;
    system.gets.splice(system.gets.indexOf(get), 1);
    if (this.answer !== 'right') model.bad.add(REASONS[this.answer]);
    get.answer.resolve(this.answer);
    await Promise.all(works.map(({ ended }) => ended));
    // One whose lease was taken may have brought the bytes all the same; they are the right ones.
    const held = await system.held();
    if (holds) {
      model.row = { ...model.row!, state: 'finished' };
      expect(held).toBe(model.held || this.answer === 'right');
    } else if (this.answer !== 'right') expect(held).toBe(model.held);
    model.held = held;
    await agree(model, real);
  }
  toString = () => `answer(${this.which}, ${this.answer})`;
}

/** A puller dies and another process takes its place. */
class Kills implements Command {
  constructor(
    readonly puller: number,
    readonly gracefully: boolean,
  ) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    const { system } = real;
    const puller = system.pullers[this.puller] as Puller;
    if (this.gracefully) await puller.stop();
    else await puller.kill();
    // Whoever stops in an orderly way ends its lease himself.
    if (this.gracefully && model.row?.state === 'running' && model.row.holder === puller.name) model.row.over = true;
    await system.replace(this.puller);
    await agree(model, real);
  }
  toString = () => `${this.gracefully ? 'stop' : 'kill'}(puller ${this.puller})`;
}

class Lapses implements Command {
  check = (model: Readonly<Model>) => model.row?.state === 'running';
  async run(model: Model, real: Real): Promise<void> {
    await real.lapse(leaseKey(real.system.target));
    model.row!.over = true;
    await agree(model, real);
  }
  toString = () => 'lapse';
}

class LosesSignals implements Command {
  constructor(readonly deaf: boolean) {}
  check = () => true;
  async run(_model: Model, { system }: Real): Promise<void> {
    system.bus.deaf = this.deaf;
  }
  toString = () => (this.deaf ? 'signals are lost' : 'signals are heard');
}

const number = fc.nat(1);
const lane = fc.constantFrom<Lane>('interactive', 'background');

export const pullCommands = fc.commands(
  [
    number.map((gateway) => new Asks(gateway)),
    number.map((gateway) => new Asks(gateway)),
    fc.constant(new Prefetches()),
    fc.tuple(number, fc.constant<Lane>('interactive')).map((args) => new Delivers(...args)),
    fc.tuple(number, lane).map((args) => new Delivers(...args)),
    fc.tuple(fc.nat(3), fc.constantFrom<Answer>('right', 'wrong', 'broken')).map((args) => new Answers(...args)),
    fc.tuple(number, fc.boolean()).map((args) => new Kills(...args)),
    fc.constant(new Lapses()),
    fc.boolean().map((deaf) => new LosesSignals(deaf)),
  ],
  { maxCommands: 30, size: 'max' },
);

/** Time goes on: leases of the dead end, messages are delivered, the upstream answers. Every download must end. */
export async function drain(model: Model, real: Real): Promise<void> {
  const { system } = real;
  system.bus.deaf = false;
  let over = false;
  const ended = Promise.all(real.downloads).then(() => {
    over = true;
  });
  while (!over || (await pending(system))) {
    const alive = system.pullers.map(({ name }) => name);
    if (model.row?.state === 'running' && !alive.includes(model.row.holder)) await new Lapses().run(model, real);
    for (const puller of [0, 1])
      for (const next of ['interactive', 'background'] as const) await new Delivers(puller, next).run(model, real);
    while (system.openGets().length > 0) await new Answers(0, 'right').run(model, real);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await ended;
}

async function pending(system: System): Promise<boolean> {
  const { interactive, background } = await system.bus.depth();
  return interactive + background > 0;
}
