import { BadRequestException } from '@nestjs/common';
import { type Platform, parsePlatform } from '#oci';
import type { PlatformChoice } from '#registry';

/** Platforms as a request names them; undefined when it names none. Throws a 400. */
export function choosePlatforms(texts: readonly string[]): PlatformChoice | undefined {
  if (texts.length === 0) return undefined;
  if (texts.includes('all')) return 'all';
  return texts.map((text): Platform => {
    const platform = parsePlatform(text);
    if (!platform) throw new BadRequestException(`"${text}" is no platform; expected os/architecture, or all`);
    return platform;
  });
}
