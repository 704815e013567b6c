import type { Installation, ServerProcess } from '../support/servers.js';
import type { Random } from './random.js';

export type Victim = 'puller' | 'nats' | 'postgres' | 's3' | 'server';

/** One blow and how long its victim was away. Epoch milliseconds. */
export interface Strike {
  readonly victim: Victim;
  readonly how: string;
  readonly from: number;
  until: number;
}

/** Kills and restarts, chosen at random, one after the other, sometimes two at once. */
export class Strikes {
  readonly history: Strike[] = [];

  constructor(
    private readonly system: Installation,
    private readonly random: Random,
  ) {}

  /** Goes on until the deadline (epoch ms), and `least` blows: on a slow machine each takes long. Everything runs again when it resolves. */
  async rage(deadline: number, least: number): Promise<void> {
    while (Date.now() < deadline || this.history.length < least) {
      const first = this.choose();
      const blows = [first, ...(this.random.chance(0.3) ? [this.choose()] : [])];
      // Two blows at one victim would only be a race of this test's with itself.
      const different = blows.filter((blow, i) => blows.findIndex(({ key }) => key === blow.key) === i);
      const pause = this.random.int(200, 3000);
      await Promise.all(different.map((blow) => this.strike(blow)));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  private async strike({ victim, how, run }: Blow): Promise<void> {
    const strike: Strike = { victim, how, from: Date.now(), until: Infinity };
    this.history.push(strike);
    await run();
    strike.until = Date.now();
  }

  private choose(): Blow {
    const { services, pullers, name } = this.system;
    const servers = pullers.map((process, i) => blowAt(name === 'distributed' ? 'puller' : 'server', process, i));
    const others = (['postgres', 'nats', 's3'] as const).flatMap((victim): Blow[] => {
      const service = services[victim];
      if (!service) return [];
      const killed = this.random.chance(0.5);
      const away = this.random.int(0, 1500);
      const run = async () => {
        if (killed) await service.kill();
        if (killed) await new Promise((resolve) => setTimeout(resolve, away));
        await service.restart();
      };
      return [{ victim, key: victim, how: killed ? `killed for ${away} ms and more` : 'restarted', run }];
    });
    return this.random.pick([...servers, ...others]);
  }
}

interface Blow {
  readonly victim: Victim;
  readonly key: string;
  readonly how: string;
  run(): Promise<void>;
}

function blowAt(victim: Victim, process: ServerProcess, number: number): Blow {
  const run = async () => {
    await process.stop('SIGKILL');
    await process.start();
  };
  return { victim, key: `${victim} ${number}`, how: `number ${number} killed`, run };
}
