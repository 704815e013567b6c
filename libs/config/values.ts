import { z } from 'zod';

/** Milliseconds of each unit of the Go server's durations, which are Go's own and `d`. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const DURATION = /^(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h|d))+$/;
const NUMBER = /^\d+(\.\d+)?$/;

/** Longer than any sensible wait, and exact as milliseconds. */
const MAX_DURATION = 100 * 365 * UNITS.d!;

const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  KI: 2 ** 10,
  MI: 2 ** 20,
  GI: 2 ** 30,
  TI: 2 ** 40,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Milliseconds, rounded up to a whole one, or undefined when `text` is no duration. `1h30m`, `30d`, `1.5h`, `0`. */
export function parseDuration(text: string, bareUnit?: 'ms'): number | undefined {
  const value = text.trim();
  if (NUMBER.test(value)) {
    if (bareUnit === undefined && Number(value) !== 0) return undefined;
    return bounded(Math.ceil(Number(value)), MAX_DURATION);
  }
  if (!DURATION.test(value)) return undefined;
  let total = 0;
  for (const [, amount, , unit] of value.matchAll(/(\d+(\.\d+)?)(ns|us|µs|μs|ms|s|m|h|d)/g)) {
    total += Number(amount) * UNITS[unit!]!;
  }
  return bounded(Math.ceil(total), MAX_DURATION);
}

/** Bytes, or undefined when `text` is no size. `500MB` is decimal; `10GiB`, `10Gi` and `10G` are binary. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const factor = match && SIZES[match[2]!.toUpperCase()];
  return factor ? bounded(Math.floor(Number(match[1]) * factor), Number.MAX_SAFE_INTEGER) : undefined;
}

function bounded(value: number, max: number): number | undefined {
  return value <= max ? value : undefined;
}

interface DurationOptions {
  /** Unit of a number without one; without it such a number is refused. */
  readonly bare?: 'ms';
  /** Smallest value in milliseconds. */
  readonly min?: number;
}

/** A duration; milliseconds when parsed. */
export function duration({ bare, min = 0 }: DurationOptions = {}) {
  const expected = bare
    ? 'expected milliseconds or a duration such as 30s, 15m, 24h, 30d'
    : 'expected a duration with its unit, such as 30s, 15m, 24h, 30d';
  return z.union([z.string(), z.number()], { error: expected }).transform((value, context) => {
    const ms = parseDuration(String(value), bare);
    if (ms !== undefined && ms >= min) return ms;
    context.addIssue({ code: 'custom', message: ms === undefined ? expected : `must be at least ${min} ms` });
    return z.NEVER;
  });
}

const SIZE_EXPECTED =
  'expected a size such as 500MB, 10GiB (a bare number is bytes) or a share of the disk such as 80%';

/** A size: bytes, or a share of the file system that it is about. */
export type Size = number | { readonly percent: number };

/** A size in bytes, or `{percent}`. */
export function size() {
  return z.union([z.string(), z.number()], { error: SIZE_EXPECTED }).transform((value, context): Size => {
    const text = String(value).trim();
    const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
    if (percent && Number(percent[1]) > 0 && Number(percent[1]) <= 100) return { percent: Number(percent[1]) };
    const bytes = percent ? undefined : parseSize(text);
    if (bytes !== undefined && bytes > 0) return bytes;
    context.addIssue({ code: 'custom', message: SIZE_EXPECTED });
    return z.NEVER;
  });
}

/** A TCP port; 0 where the system may choose one. */
export function port() {
  return z.int({ error: 'expected a port number, 0 to 65535' }).min(0).max(65_535);
}

/** One of a few words, in any case of letters. */
export function word<const W extends readonly string[]>(...words: W) {
  return z
    .string()
    .transform((value, context): W[number] => {
      const found = words.find((candidate) => candidate === value.toLowerCase());
      if (found !== undefined) return found;
      context.addIssue({ code: 'custom', message: `expected one of ${words.join(', ')}` });
      return z.NEVER;
    })
    .meta({ enum: [...words] });
}

/** An absolute URL of one of the schemes; parsed output stays the text. */
export function url(...schemes: readonly string[]) {
  const expected = `expected a URL starting with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`;
  return z.string().refine((value) => URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1)), {
    error: expected,
  });
}

/** Path of a file that must be readable when the configuration is loaded. */
export function file(description: string) {
  return z.string().min(1).optional().meta({ description, 'x-file': true });
}

/** `host` or `host:port` without scheme or path. */
export const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:\d{1,5})?$/;

/**
 * A secret: itself, or where it comes from. The two references are resolved while loading and are not part of the
 * parsed configuration.
 */
export function secret<const N extends string>(
  name: N,
  description: string,
  schema: z.ZodType<string> = z.string().min(1),
) {
  const fields = {
    [name]: schema.optional().meta({ description, 'x-secret': true }),
    [`${name}FromEnv`]: z
      .string()
      .min(1)
      .optional()
      .meta({ description: `Environment variable that holds \`${name}\`.` }),
    [`${name}FromFile`]: z
      .string()
      .min(1)
      .optional()
      .meta({ description: `File that holds \`${name}\`.` }),
  };
  return fields as { [K in N | `${N}FromEnv` | `${N}FromFile`]: z.ZodOptional<z.ZodType<string>> };
}
