import 'reflect-metadata';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { InProcessBus } from '#bus/adapters';
import { type Config, load } from '#config';
import type { Stack } from '#stack';
import { AdminModule } from '../admin.module.js';
import { ExchangeModule } from '../exchange/exchange.module.js';
import { JournalModule } from '../journal/journal.module.js';
import { PreloadModule } from '../preload/preload.module.js';
import { PruneModule } from '../prune/prune.module.js';
import { VerifyModule } from '../verify/verify.module.js';
import { WatchModule } from '../watch/watch.module.js';
import { describeApi } from './openapi.js';

const FILE = join(__dirname, '../../../docs/api/admin.json');
const log = { debug() {}, info() {}, warn() {}, error() {} };

describe('the OpenAPI document', () => {
  let base: string;
  let app: NestFastifyApplication;
  beforeAll(async () => {
    const { config } = load({ role: 'all', flags: {}, env: {} }) as { config: Config };
    // Nothing is called: only what the controllers say of themselves is read.
    const stack = {
      dependencies: [],
      catalog: { inventory: { images() {} } },
      bus: new InProcessBus(),
    } as unknown as Stack;
    const about = { version: '', role: 'all', stack: config.stack };
    const never = { ...stack, ready: new Promise<void>(() => {}) };
    class Whole {}
    const imports = [
      AdminModule.for(config, stack, log, about),
      PruneModule.for(config, never, log, false),
      WatchModule.for(config, never, log),
      PreloadModule.for(config, never, log),
      ExchangeModule.for(config, never, log),
      VerifyModule.for(config, never, log),
      JournalModule.for(config, never, log),
    ];
    app = await NestFactory.create<NestFastifyApplication>({ module: Whole, imports }, new FastifyAdapter(), {
      logger: false,
      abortOnError: false,
    });
    await app.listen(0, '127.0.0.1');
    base = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  });
  afterAll(() => app.close());

  it('is committed as docs/api/admin.json; UPDATE=1 writes it anew', () => {
    const text = `${JSON.stringify(describeApi(app), null, 2)}\n`;
    if (process.env.UPDATE) writeFileSync(FILE, text);
    expect(readFileSync(FILE, 'utf8')).toBe(text);
  });

  it('answers what is wrong as problem+json', async () => {
    const wrong = [
      ['/api/v1/images?limit=0', 'limit'],
      ['/api/v1/images?sort=colour', 'sort'],
      ['/api/v1/images?colour=red', 'colour'],
      ['/api/v1/images?olderThan=yesterday', 'olderThan'],
      ['/api/v1/images?maxSize=big', 'maxSize'],
      ['/api/v1/images?pattern=,', 'pattern'],
      ['/api/v1/images?cursor=e30', 'cursor'],
      ['/api/v1/image', 'ref'],
    ] as const;
    for (const [url, parameter] of wrong) {
      const answer = await fetch(base + url);
      expect([url, answer.status, answer.headers.get('content-type')]).toEqual([
        url,
        400,
        'application/problem+json; charset=utf-8',
      ]);
      expect(await answer.json()).toMatchObject({ status: 400, title: 'Bad Request', errors: [{ parameter }] });
    }
    const missing = await fetch(`${base}/api/v1/nothing`);
    expect([missing.status, ((await missing.json()) as { title: string }).title]).toEqual([404, 'Not Found']);
  });
});
