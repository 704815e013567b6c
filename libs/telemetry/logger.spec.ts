import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module, Logger as NestStaticLogger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import fc from 'fast-check';
import { createLogger, flushLogger, loggerTo, NestLogger } from './index.js';

function capture(level = 'trace') {
  const lines: string[] = [];
  const logger = loggerTo({ write: (line) => void lines.push(line) }, level);
  return { logger, lines, entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('the log', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'log-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('is one JSON object a line with the name of the level and an ISO time', () => {
    const { logger, entries } = capture('info');
    logger.child({ component: 'relay' }).warn({ size: 3 }, 'broke');
    logger.debug('not this');
    expect(entries()).toEqual([expect.objectContaining({ level: 'warn', component: 'relay', size: 3, msg: 'broke' })]);
    expect(new Date(entries()[0]!.time as string).toISOString()).toBe(entries()[0]!.time);
  });

  it('shows errors with their stack', () => {
    const { logger, entries } = capture();
    logger.error({ err: new Error('one'), error: new TypeError('two') }, 'x');
    expect(entries()[0]).toMatchObject({
      err: { message: 'one', stack: expect.any(String) },
      error: { type: 'TypeError', message: 'two' },
    });
  });

  it('is appended to the file, whose directory is made', async () => {
    const file = join(directory, 'deep', 'log.json');
    for (const message of ['one', 'two']) {
      const logger = createLogger({ level: 'info', file });
      logger.info(message);
      await flushLogger(logger);
    }
    const messages = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages).toEqual(['one', 'two']);
  });

  it('refuses a file that cannot be opened at once', () => {
    expect(() => createLogger({ level: 'info', file: directory })).toThrow('EISDIR');
  });
});

describe('secrets', () => {
  const names = [
    'authorization',
    'Authorization',
    'password',
    'token',
    'access_token',
    'secretKey',
    'accessKey',
    'set-cookie',
  ];

  it('are not in the log, wherever they are and whatever they hold', () => {
    const secret = fc.tuple(fc.string(), fc.uuid()).map(([text, id]) => ({ id, value: `${text}${id}${text}` }));
    const holder = fc.constantFrom<(name: string, value: string) => object>(
      (name, value) => ({ [name]: value }),
      (name, value) => ({ a: { b: [{ c: { d: { e: { [name]: value } } } }] } }),
      (name, value) => ({ headers: { [name]: [value, value] } }),
      (name, value) => ({ body: JSON.stringify({ [name]: value }) }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), secret, holder, (name, { id, value }, hold) => {
        const { logger, lines, entries } = capture();
        logger.info(hold(name, value), 'request');
        logger.child(hold(name, value)).info('request');
        expect(lines.join('')).not.toContain(id);
        expect(entries()).toHaveLength(2);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['cannot reach postgres://ada:hunter2@db:5432/x', 'cannot reach postgres://***@db:5432/x'],
    ['GET https://s3/x?X-Amz-Signature=hunter2&a=1', 'GET https://s3/x?X-Amz-Signature=***&a=1'],
    ['GET /token?account=a&password=hunter2', 'GET /token?account=a&password=***'],
    ['sent Authorization: Bearer hunter2.hunter2', 'sent Authorization: Bearer ***'],
    ['Basic aHVudGVyMjpodW50ZXIy was refused', 'Basic *** was refused'],
  ])('are masked in the message %j', (message, expected) => {
    const { logger, entries } = capture();
    logger.error({ err: new Error(message) }, message);
    expect(entries()[0]).toMatchObject({
      msg: expected,
      err: { message: expected, stack: expect.not.stringContaining('hunter2') },
    });
  });

  it('do not take what is no secret with them', () => {
    const fields = {
      tokens: 3,
      digest: 'sha256:ab',
      url: 'https://a.b/v2/x@sha256:ab',
      user: 'ada',
      key: '/etc/key.pem',
      list: ['a'],
    };
    const { logger, entries } = capture();
    logger.info(fields, 'the token was renewed');
    expect(entries()[0]).toMatchObject({ ...fields, msg: 'the token was renewed' });
  });
});

describe('NestLogger', () => {
  it("takes Nest's own messages while an application starts", async () => {
    const { logger, entries } = capture();
    class Empty {}
    Module({})(Empty);
    const app = await NestFactory.createApplicationContext(Empty, { logger: new NestLogger(logger) });
    await app.close();
    expect(entries()).toContainEqual(
      expect.objectContaining({
        level: 'debug',
        component: 'nest',
        context: 'NestFactory',
        msg: 'Starting Nest application...',
      }),
    );
  });

  it('takes what services log through Nest, and why an application could not start', async () => {
    const { logger, entries } = capture();
    class Service {
      constructor() {
        new NestStaticLogger('Service').warn('careful', { count: 2 });
        throw new Error('no luck');
      }
    }
    Injectable()(Service);
    class Failing {}
    Module({ providers: [Service] })(Failing);
    const starting = NestFactory.createApplicationContext(Failing, {
      logger: new NestLogger(logger),
      abortOnError: false,
    });
    await expect(starting).rejects.toThrow('no luck');
    expect(entries()).toContainEqual(
      expect.objectContaining({ level: 'warn', context: 'Service', msg: 'careful', details: [{ count: 2 }] }),
    );
  });

  it.each([
    ['fatal', 'fatal'],
    ['error', 'error'],
    ['warn', 'warn'],
    ['log', 'debug'],
    ['debug', 'debug'],
    ['verbose', 'trace'],
  ] as const)('%s is our %s', (method, level) => {
    const { logger, entries } = capture();
    new NestLogger(logger)[method]('text', 'Context');
    expect(entries()[0]).toMatchObject({ level, msg: 'text', context: 'Context' });
  });

  it('tells errors and stacks apart from the context', () => {
    const { logger, entries } = capture();
    const nest = new NestLogger(logger);
    const error = new Error('bad');
    nest.error(error, 'Context');
    nest.error('bad', error.stack, 'Context');
    nest.error({ code: 7 });
    expect(entries()).toEqual([
      expect.objectContaining({ msg: 'bad', context: 'Context', err: expect.objectContaining({ message: 'bad' }) }),
      expect.objectContaining({ msg: 'bad', context: 'Context', stack: error.stack }),
      expect.objectContaining({ msg: '', fields: { code: 7 } }),
    ]);
  });
});
