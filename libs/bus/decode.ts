import { EVENT_MAJOR, type PullRequested, pullRequestedSchema } from './events.js';

/** What a worker found in the queue: an event, one for newer workers, or something that is no event. */
export type Decoded =
  | { readonly kind: 'event'; readonly event: PullRequested }
  | { readonly kind: 'newer'; readonly v: number }
  | { readonly kind: 'invalid'; readonly reason: string };

/** The major is looked at first: what a newer major looks like is unknown here. */
export function decodePull(raw: unknown): Decoded {
  const v = (raw as { v?: unknown } | null | undefined)?.v;
  if (Number.isInteger(v) && (v as number) > EVENT_MAJOR) return { kind: 'newer', v: v as number };
  const parsed = pullRequestedSchema.safeParse(raw);
  if (parsed.success) return { kind: 'event', event: parsed.data };
  const [issue] = parsed.error.issues;
  return { kind: 'invalid', reason: issue ? `${issue.path.join('.') || 'event'}: ${issue.message}` : 'not an event' };
}

/** `decodePull` of UTF-8 JSON. */
export function decodePullJson(text: string): Decoded {
  try {
    return decodePull(JSON.parse(text));
  } catch {
    return { kind: 'invalid', reason: 'not JSON' };
  }
}
