import type { IncomingMessage } from 'node:http';
import {
  Body,
  Controller,
  HttpCode,
  Inject,
  NotFoundException,
  Options,
  Param,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
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

/** A DNS name, or an expression for several. */
const ORIGIN = /^[A-Za-z0-9.*:/_-]{1,255}$/;

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
    const known = this.proven(source, query, request);
    const registry = query.registry === undefined ? undefined : canonicalHost(query.registry);
    if (query.registry !== undefined && registry === undefined)
      throw new BadRequest('registry', 'expected host or host:port');
    try {
      const pushed = pushedTags(known, {
        body,
        headers: request.raw.headers,
        ...(registry === undefined ? {} : { registry }),
      });
      return await this.hooks.receive(known, pushed);
    } catch (error) {
      if (error instanceof UnknownPayload) throw new Refusal(422, `no payload of ${known}: ${error.message}`);
      throw error;
    }
  }

  /** "HTTP 1.1 Web Hooks for Event Delivery" of CloudEvents, section 4: who will send asks first whether it may. */
  @Options(':source')
  @HttpCode(200)
  @Operation({
    summary: 'Whether a sender of CloudEvents may send its webhooks here',
    description:
      'For `cloudevents` alone, as Azure Event Grid asks. `WebHook-Request-Origin` says who will send; the answer has `WebHook-Allowed-Origin` and `WebHook-Allowed-Rate`. Needs what a webhook needs.',
    params: { source: '`cloudevents`' },
    query: HookQuery,
    changes: true,
  })
  handshake(
    @Param('source') source: string,
    @Query(new Valid(HookQuery)) query: z.output<typeof HookQuery>,
    @Req() request: HookRequest,
    @Res({ passthrough: true }) reply: { header(name: string, value: string): unknown },
  ): void {
    if (this.proven(source, query, request) !== 'cloudevents')
      throw new Refusal(405, 'only senders of CloudEvents ask first', { allow: 'POST' });
    const origin = request.raw.headers['webhook-request-origin'];
    if (typeof origin !== 'string' || !ORIGIN.test(origin))
      throw new BadRequest('WebHook-Request-Origin', 'this header has to name who will send');
    reply.header('allow', 'POST');
    reply.header('webhook-allowed-origin', origin);
    // Who sends more than can be checked is told to come again later.
    reply.header('webhook-allowed-rate', '*');
  }

  /** The source, when the request shows that it knows its secret. Throws what the sender is to be told. */
  private proven(source: string, query: z.output<typeof HookQuery>, { raw, rawBody }: HookRequest): HookSource {
    if (!isSource(source)) throw new NotFoundException(`no such source; known are ${HOOK_SOURCES.join(', ')}`);
    const secret = this.hooks.secretOf(source);
    if (secret === undefined) return source;
    const token = query.token ?? query.access_token;
    const proof = { headers: raw.headers, raw: rawBody ?? Buffer.alloc(0), ...(token === undefined ? {} : { token }) };
    checkHookSecret(source, proof, secret, this.hooks.adminToken);
    return source;
  }
}

function isSource(text: string): text is HookSource {
  return (HOOK_SOURCES as readonly string[]).includes(text);
}
