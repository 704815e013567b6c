import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { UsageCounts } from '#catalog';
import { Stats, type Usage } from './models.js';
import { Operation } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';

const HOUR = 3_600_000;

/** How much there is, and how much it is used. */
@ApiTags('stats')
@Controller('api/v1/stats')
export class StatsController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get()
  @Operation({ summary: 'Sizes, counts, and what the cache was good for', answer: Stats })
  async stats(): Promise<z.output<typeof Stats>> {
    const { catalog, bus } = this.ports;
    const used = async (ms: number) => usageOf(await catalog.usage.totals(ms));
    const [content, queue, hour, day, month] = await Promise.all([
      catalog.counts(),
      bus.depth(),
      used(HOUR),
      used(24 * HOUR),
      used(30 * 24 * HOUR),
    ]);
    return { content, usage: { '1h': hour, '24h': day, '30d': month }, queue };
  }
}

function usageOf(counts: readonly UsageCounts[]): z.output<typeof Usage> {
  const of = (kind: UsageCounts['kind']) => sum(counts.filter((item) => item.kind === kind));
  const upstreams = [...new Set(counts.map(({ upstream }) => upstream))];
  return {
    ...sum(counts),
    byKind: { manifest: of('manifest'), blob: of('blob'), list: of('list') },
    byUpstream: upstreams.map((upstream) => ({
      upstream,
      ...sum(counts.filter((item) => item.upstream === upstream)),
    })),
  };
}

function sum(counts: readonly UsageCounts[]) {
  const total = (of: (item: UsageCounts) => number) => counts.reduce((all, item) => all + of(item), 0);
  const hits = total((item) => item.hits);
  const misses = total((item) => item.misses);
  const bytesServed = total((item) => item.bytesServed);
  const bytesFetched = total((item) => item.bytesFetched);
  const upstreamRequests = total((item) => item.upstreamRequests);
  return {
    hits,
    misses,
    failures: total((item) => item.failures),
    hitRatio: hits + misses === 0 ? null : hits / (hits + misses),
    bytesServed,
    bytesFetched,
    bytesSaved: Math.max(0, bytesServed - bytesFetched),
    upstreamRequests,
    upstreamRequestsSaved: Math.max(0, hits + misses - upstreamRequests),
  };
}
