import type { IncomingMessage } from 'node:http';
import { Body, Controller, HttpCode, Inject, NotFoundException, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { canonicalHost } from '#oci';
import { Operation, Valid } from '../api/openapi.js';
import { BadRequest, Refusal } from '../api/problem.js';
import { checkHookSecret } from './hook-secret.js';
import { Hooks } from './hooks.js';
import { HOOK_SOURCES, type HookSource, pushedTags, UnknownPayload } from './payloads.js';

const HookQuery = z.strictObject({
  token: z.string().max(500).optional().meta({ description: 'The secret, for senders that can set no header.' }),
  access_token: z.string().max(500).optional().meta({ description: 'The same, as CloudEvents call it.' }),
  registry: z.string().max(255).optional().meta({
    description: 'Registry of the images, where we know it by another name than its webhooks do.',
  }),
});
const Received = z.object({
  accepted: z.array(z.string()).meta({ description: 'Tags that are being checked now.' }),
  ignored: z.array(z.object({ reference: z.string(), reason: z.string() })),
});

/** What Nest hands over beside the parsed body. */
interface HookRequest {
  readonly raw: IncomingMessage;
  readonly rawBody?: Buffer;
}

/** Registries tell that a tag was pushed; what is cached or watched of it is fetched before anybody asks. */
@ApiTags('watch')
@Controller('api/v1/hooks')
export class HooksController {
  constructor(@Inject(Hooks) private readonly hooks: Hooks) {}

  @Post(':source')
  @HttpCode(202)
  @Operation({
    summary: 'A webhook of a registry: tags were pushed',
    description:
      'The body is what the source sends. Needs the secret in `hooks.<source>.secret` where one is set, else the admin token.',
    params: { source: HOOK_SOURCES.map((source) => `\`${source}\``).join(', ') },
    query: HookQuery,
    answer: Received,
    status: 202,
    changes: true,
  })
  async receive(
    @Param('source') source: string,
    @Query(new Valid(HookQuery)) query: z.output<typeof HookQuery>,
    @Body() body: unknown,
    @Req() request: HookRequest,
  ): Promise<z.output<typeof Received>> {
    if (!isSource(source)) throw new NotFoundException(`no such source; known are ${HOOK_SOURCES.join(', ')}`);
    const { headers } = request.raw;
    const token = query.token ?? query.access_token;
    const secret = this.hooks.secretOf(source);
    if (secret !== undefined) {
      const raw = request.rawBody ?? Buffer.alloc(0);
      checkHookSecret(
        source,
        { headers, raw, ...(token === undefined ? {} : { token }) },
        secret,
        this.hooks.adminToken,
      );
    }
    const registry = query.registry === undefined ? undefined : canonicalHost(query.registry);
    if (query.registry !== undefined && registry === undefined)
      throw new BadRequest('registry', 'expected host or host:port');
    try {
      const pushed = pushedTags(source, { body, headers, ...(registry === undefined ? {} : { registry }) });
      return await this.hooks.receive(source, pushed);
    } catch (error) {
      if (error instanceof UnknownPayload) throw new Refusal(422, `no payload of ${source}: ${error.message}`);
      throw error;
    }
  }
}

function isSource(text: string): text is HookSource {
  return (HOOK_SOURCES as readonly string[]).includes(text);
}
