import type { IncomingMessage } from 'node:http';
import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Header,
  HttpCode,
  Inject,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  StreamableFile,
} from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { readTar, tarStream } from '#archive';
import { type Digest, Failure } from '#oci';
import { type Archive, exportMembers, type ImportReport, importArchive, planExport } from '#registry';
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
const localSchema = z.strictObject({
  link: z.uuid().meta({ description: 'Name of the link in the inbox.' }),
  inode: z.string().max(30).meta({ description: 'Of the archive, as the sender sees it.' }),
  size: z.int().min(0),
});

const importQuery = z.object({
  name: z.string().optional().meta({ description: 'What the only image of the archive is called.' }),
  platform: z.array(z.string()).optional().meta({ description: 'Of an index only these.' }),
});
const ProgressView = z.object({ read: bytes });
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
    const gone = new AbortController();
    request.raw.once('close', () => request.raw.complete || gone.abort(new Failure('UNAVAILABLE', 'the client left')));
    return this.take(readTar(request.raw), gone.signal, name, platform);
  }

  /** The command line finds the inbox by the configuration, and sends the archive where this answers 404. */
  @Post('import/local')
  @HttpCode(200)
  @Operation({
    summary: 'Take the images of an archive on the machine of the server, named by a link in its inbox',
    description: '`<dataDir>/inbox` is open to the user of the server alone. 404: no such link, or it leads elsewhere.',
    query: importQuery,
    body: localSchema,
    answer: ImportView,
    changes: true,
  })
  async importLocal(
    @Req() request: { readonly raw: IncomingMessage },
    @Body() body: unknown,
    @Query('name') name?: string,
    @Query('platform') platform?: string | string[],
  ): Promise<ImportReport> {
    const parsed = localSchema.safeParse(body);
    if (!parsed.success) throw new BadRequestException(z.prettifyError(parsed.error));
    const archive = await this.exchange.inbox.read(parsed.data.link, parsed.data);
    if (!archive) throw new NotFoundException('the inbox has no such link, or it leads to another file here');
    const gone = new AbortController();
    const left = () => gone.abort(new Failure('UNAVAILABLE', 'the client left'));
    const { socket } = request.raw;
    socket.once('close', left);
    try {
      return await this.take(archive, gone.signal, name, platform);
    } finally {
      socket.off('close', left);
    }
  }

  @Get('import/local/:link')
  @Operation({
    summary: 'How far such an import is',
    params: { link: 'Name of the link in the inbox.' },
    answer: ProgressView,
  })
  progress(@Param('link') link: string): { read: number } {
    const read = this.exchange.inbox.bytesRead(link);
    if (read === undefined) throw new NotFoundException('no such archive is being read');
    return { read };
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

  private async take(archive: Archive, signal: AbortSignal, name?: string, platform?: string | string[]) {
    const platforms = choosePlatforms([platform ?? []].flat());
    const order = {
      ...(name ? { name } : {}),
      ...(platforms ? { platforms } : {}),
      ...this.exchange.defaults,
      signal,
    };
    return this.exchange.turn(() => importArchive(archive, order, this.exchange));
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
