import { type DynamicModule, Module, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Config } from '#config';
import { parsePlatform, parseReference } from '#oci';
import { type Log, PullWaits, type TagReference, Watcher } from '#registry';
import type { Stack } from '#stack';
import { tagRules } from '../../gateway/tag-rules.js';
import { HooksController } from './hooks.controller.js';
import { Hooks } from './hooks.js';
import { WatchController } from './watch.controller.js';

/** Without a sign of life from a puller; background work may queue for long. */
const WAITS = { timeout: 10 * 60_000, poll: 2000, busPatience: 60_000 };
const LIFE = Symbol('life');

/** Tags that are watched, and the webhooks of registries. */
@Module({})
export class WatchModule {
  static for(config: Config, stack: Stack, log: Log): DynamicModule {
    const { catalog, bus, relays, upstream, pulls } = stack;
    return {
      module: WatchModule,
      controllers: [WatchController, HooksController],
      providers: [
        {
          provide: Watcher,
          useFactory: () =>
            new Watcher(
              {
                catalog,
                log,
                waits: new PullWaits(bus, catalog.pulls, relays, log, WAITS),
                allows: (host) => upstream.allows(host),
                onCheck: (result) => pulls.tagChecked(result),
              },
              {
                tries: 3,
                firstPause: 1000,
                concurrency: 4,
                airGapped: config.airGapped,
                platforms: [
                  parsePlatform(`${config.os}/${config.arch}`) ?? { os: config.os, architecture: config.arch },
                ],
                tagRule: tagRules(config),
              },
              config.watch.map(({ image, every }) => ({
                reference: parseReference(image, config.defaultNs || undefined) as TagReference,
                every,
              })),
            ),
        },
        { provide: Hooks, inject: [Watcher], useFactory: (watcher: Watcher) => new Hooks(config, stack, watcher, log) },
        {
          provide: LIFE,
          inject: [Watcher, HttpAdapterHost],
          useFactory: (watcher: Watcher, http: HttpAdapterHost): OnModuleInit & OnApplicationBootstrap => ({
            onModuleInit: () => readEvents(http),
            onApplicationBootstrap() {
              stack.ready.then(
                () => watcher.start(),
                () => {},
              );
            },
          }),
        },
      ],
      exports: [Watcher],
    };
  }
}

/** As much of Fastify as is needed. */
interface ParserRegistry {
  addContentTypeParser(
    types: RegExp,
    options: { readonly parseAs: 'buffer' },
    parser: (request: { rawBody?: Buffer }, body: Buffer, done: (error: Error | null, body?: unknown) => void) => void,
  ): void;
}

/** `application/cloudevents+json`, `application/vnd.docker.distribution.events.v1+json`: JSON by another name. */
function readEvents(http: HttpAdapterHost): void {
  const fastify = http.httpAdapter.getInstance<ParserRegistry>();
  fastify.addContentTypeParser(/^application\/[\w.-]+\+json\b/, { parseAs: 'buffer' }, (request, body, done) => {
    request.rawBody = body;
    try {
      done(null, JSON.parse(body.toString()));
    } catch {
      done(Object.assign(new Error('the body is no JSON'), { statusCode: 400 }));
    }
  });
}
