import type { IncomingMessage } from 'node:http';
import {
  BadRequestException,
  Body,
  Controller,
  Header,
  HttpCode,
  Inject,
  Post,
  Query,
  Req,
  StreamableFile,
} from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { readTar, tarStream } from '#archive';
import { type Digest, Failure } from '#oci';
import { exportMembers, type ImportReport, importArchive, planExport } from '#registry';
import { Operation } from '../api/openapi.js';
import { choosePlatforms } from '../platforms.js';
import { EXCHANGE, type Exchange } from './exchange.js';

const digest = z.string().regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, 'not a digest') as z.ZodType<Digest>;
const exportSchema = z.strictObject({
  images: z.array(z.string().max(512)).min(1).max(10_000),
  platforms: z.array(z.string()).max(20).optional(),
  /** What the other side has. */
  without: z.array(digest).max(1_000_000).optional(),
});

const bytes = z.int().min(0).meta({ description: 'Bytes.' });
const importQuery = z.object({
  name: z.string().optional().meta({ description: 'What the only image of the archive is called.' }),
  platform: z.array(z.string()).optional().meta({ description: 'Of an index only these.' }),
});
const ImportView = z.object({
  images: z.array(
    z.object({
      reference: z.string(),
      digest: z.string().optional(),
      outcome: z.enum(['loaded', 'failed']),
      problem: z.string().optional(),
      manifests: z.int(),
      blobs: z.int(),
      bytes,
    }),
  ),
  newBlobs: z.int().meta({ description: 'That were not here before.' }),
});
const PlanView = z.object({
  images: z.array(
    z.object({
      reference: z.string(),
      digest: z.string(),
      mediaType: z.string(),
      size: bytes,
      left: z.array(z.string()).meta({ description: 'Platforms that are not cached whole, and left out.' }),
    }),
  ),
  manifests: z.int(),
  blobs: z.int(),
  bytes,
});

/** Archives of images in and out of the cache. */
@ApiTags('exchange')
@Controller('api/v1')
export class ExchangeController {
  constructor(@Inject(EXCHANGE) private readonly exchange: Exchange) {}

  /** The body is the archive, as `application/x-tar`, compressed or not. */
  @Post('import')
  @HttpCode(200)
  @ApiConsumes('application/x-tar')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @Operation({
    summary: 'Take the images of an archive into the cache',
    description:
      '`docker save`, OCI layout, containerd export or image directory of the Go server; plain, gzip or zstd.',
    query: importQuery,
    answer: ImportView,
    changes: true,
  })
  async import(
    @Req() request: { readonly raw: IncomingMessage; readonly body: unknown },
    @Query('name') name?: string,
    @Query('platform') platform?: string | string[],
  ): Promise<ImportReport> {
    if (request.body !== request.raw) throw new BadRequestException('expected an archive as application/x-tar');
    const platforms = choosePlatforms([platform ?? []].flat());
    const gone = new AbortController();
    request.raw.once('close', () => request.raw.complete || gone.abort(new Failure('UNAVAILABLE', 'the client left')));
    const order = {
      ...(name ? { name } : {}),
      ...(platforms ? { platforms } : {}),
      ...this.exchange.defaults,
      signal: gone.signal,
    };
    return this.exchange.turn(() => importArchive(readTar(request.raw), order, this.exchange));
  }

  /** What an export would hold; 404 names what is not cached whole. */
  @Post('export/plan')
  @HttpCode(200)
  @Operation({
    summary: 'What an export would hold',
    body: exportSchema,
    answer: PlanView,
    changes: true,
  })
  async plan(@Body() body: unknown) {
    const { images, manifests, blobs } = await this.planned(body);
    const bytes = [...blobs.values(), ...[...manifests.values()].map(({ length }) => length)];
    return { images, manifests: manifests.size, blobs: blobs.size, bytes: bytes.reduce((sum, size) => sum + size, 0) };
  }

  /** An OCI layout as a tar; a connection that is cut means that it is incomplete. */
  @Post('export')
  @HttpCode(200)
  @Operation({
    summary: 'Cached images as an OCI layout in a tar; a connection that is cut means that it is incomplete',
    body: exportSchema,
    type: 'application/x-tar',
    changes: true,
  })
  @Header('content-type', 'application/x-tar')
  async export(@Body() body: unknown): Promise<StreamableFile> {
    const plan = await this.planned(body);
    const stream = tarStream(exportMembers(plan, this.exchange.blobs));
    stream.on('error', (error) => this.exchange.log.warn({ error: String(error) }, 'an export ended early'));
    return new StreamableFile(stream);
  }

  private planned(body: unknown) {
    const parsed = exportSchema.safeParse(body);
    if (!parsed.success) throw new BadRequestException(z.prettifyError(parsed.error));
    const { images, platforms = [], without = [] } = parsed.data;
    const chosen = choosePlatforms(platforms);
    const request = { images, without: new Set(without), ...(chosen ? { platforms: chosen } : {}) };
    return planExport({ ...request, ...this.exchange.defaults }, this.exchange);
  }
}
