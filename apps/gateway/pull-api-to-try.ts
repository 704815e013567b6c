import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { PullApi } from './pull-api.js';

/**
 * Answers the pull API on the admin port as well, where the page at `/docs` is from: browsers let no page ask another port that
 * does not name it.
 */
export function offerPullApi(app: NestFastifyApplication): void {
  const api = app.get(PullApi);
  const fastify = app.getHttpAdapter().getInstance();
  for (const url of ['/v2', '/v2/*']) {
    fastify.route({
      url,
      method: ['GET', 'HEAD'],
      handler: (request, reply) => {
        reply.hijack();
        api.handle(request.raw, reply.raw);
      },
    });
  }
}
