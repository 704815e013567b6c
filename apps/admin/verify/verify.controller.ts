import { Body, Controller, Delete, Get, HttpCode, Inject, NotFoundException, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { parsePatterns } from '#catalog';
import { type Config, parseSize } from '#config';
import { Verifier } from '#registry';
import { time } from '../api/models.js';
import { Operation, Valid } from '../api/openapi.js';
import { BadRequest } from '../api/problem.js';

export const VERIFY_DEFAULTS = Symbol('verify defaults');

const bytes = z.int().min(0).meta({ description: 'Bytes.' });

const VerifyBody = z.strictObject({
  image: z
    .string()
    .max(1000)
    .optional()
    .meta({ description: 'One image; everything when no `pattern` is given either.' }),
  pattern: z.string().max(2000).optional().meta({ description: 'Images whose reference matches, as `images` has it.' }),
  sizesOnly: z.boolean().default(false).meta({ description: 'Compares sizes and reads no bytes.' }),
  repair: z.boolean().default(false).meta({
    description:
      'Drops what is bad or lost and fetches it anew; removes stored bytes older than a day that nothing refers to.',
  }),
  rate: z.string().max(50).optional().meta({ description: 'Read at most so much a second: `50MB`.' }),
});

const VerifyJobView = z.object({
  id: z.string(),
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  startedAt: time,
  finishedAt: time.optional(),
  request: z.object({
    image: z.string().optional(),
    patterns: z.array(z.string()).optional(),
    deep: z.boolean().meta({ description: 'Whether bytes are read and hashed.' }),
    repair: z.boolean(),
    rate: z.number().meta({ description: 'Bytes a second.' }),
  }),
  total: z.object({ objects: z.int(), bytes }).optional(),
  objects: z.int().meta({ description: 'Checked so far.' }),
  bytes,
  bad: z.int(),
  repaired: z.int(),
  problems: z
    .array(
      z.object({
        kind: z.enum(['blob', 'manifest']),
        digest: z.string(),
        problem: z.enum(['missing', 'size', 'bytes']),
        outcome: z.enum(['found', 'repaired', 'dropped']),
        reason: z.string().optional().meta({ description: 'Why it could not be fetched.' }),
      }),
    )
    .meta({ description: 'At most 1,000.' }),
  orphans: z
    .object({ blobs: z.int(), bytes, removed: z.int() })
    .meta({ description: 'Stored bytes, older than a day, that nothing refers to.' }),
  error: z.string().optional().meta({ description: 'Why it broke off.' }),
});

/** Checks what is stored, in the background. */
@ApiTags('verify')
@Controller('api/v1/verify')
export class VerifyController {
  constructor(
    private readonly verifier: Verifier,
    @Inject(VERIFY_DEFAULTS) private readonly defaults: Config['verify'],
  ) {}

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Check stored bytes against their digests; one at a time',
    body: VerifyBody,
    answer: VerifyJobView,
    status: 202,
    changes: true,
  })
  start(@Body(new Valid(VerifyBody)) { image, pattern, sizesOnly, repair, rate }: z.output<typeof VerifyBody>) {
    const bytesPerSecond = rate === undefined ? this.defaults.rate : parseSize(rate);
    if (!bytesPerSecond) throw new BadRequest('rate', 'expected a size such as 50MB');
    if (image !== undefined && pattern !== undefined) throw new BadRequest('pattern', 'give either image or pattern');
    const patterns = pattern === undefined ? undefined : parsePatterns(pattern);
    if (patterns?.length === 0) throw new BadRequest('pattern', 'no pattern given');
    return this.verifier.start({
      ...(image === undefined ? {} : { image }),
      ...(patterns ? { patterns } : {}),
      deep: !sizesOnly,
      repair,
      rate: bytesPerSecond,
    });
  }

  @Get()
  @Operation({
    summary: 'Verifications of this process, the latest first; that of the start is one of sizes only',
    answer: z.object({ items: z.array(VerifyJobView), next: z.null() }),
  })
  list() {
    return { items: this.verifier.list(), next: null };
  }

  @Get(':id')
  @Operation({ summary: 'One verification', params: { id: 'Its id.' }, answer: VerifyJobView })
  find(@Param('id') id: string) {
    return found(this.verifier.find(id));
  }

  @Delete(':id')
  @Operation({ summary: 'Stop a verification', params: { id: 'Its id.' }, answer: VerifyJobView, changes: true })
  async cancel(@Param('id') id: string) {
    return found(await this.verifier.cancel(id));
  }
}

function found<T>(job: T | undefined): T {
  if (!job) throw new NotFoundException('no such verification; only the latest are remembered');
  return job;
}
