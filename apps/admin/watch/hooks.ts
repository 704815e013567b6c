import type { Config } from '#config';
import { Failure, formatReference } from '#oci';
import type { Log, TagReference, Watcher } from '#registry';
import type { Stack } from '#stack';
import { type HookSource, type Pushed, readTag } from './payloads.js';

/** Checks that run or wait; senders come again when told so. */
const MOST_BUSY = 100;

/** What becomes of a webhook. */
export class Hooks {
  constructor(
    private readonly config: Pick<Config, 'hooks' | 'admin' | 'airGapped'>,
    private readonly stack: Pick<Stack, 'catalog' | 'upstream' | 'pulls'>,
    private readonly watcher: Watcher,
    private readonly log: Log,
  ) {}

  secretOf(source: HookSource): string | undefined {
    return this.config.hooks[source].secret;
  }

  get adminToken(): string | undefined {
    return this.config.admin.token;
  }

  /** Has the tags checked that are ours to check; does not wait for the checks. Throws `UnknownPayload`. */
  async receive(source: HookSource, pushed: Pushed) {
    const tags = new Map(pushed.map(readTag).map((tag) => [formatReference(tag), tag]));
    if (this.watcher.busy + tags.size > MOST_BUSY)
      throw new Failure('UNAVAILABLE', 'too many tags are being checked', { retryAfter: 30 });
    const accepted: string[] = [];
    const ignored: { reference: string; reason: string }[] = [];
    for (const [reference, tag] of tags) {
      const reason = await this.objection(tag);
      if (reason === undefined) accepted.push(reference);
      else ignored.push({ reference, reason });
    }
    for (const reference of accepted) void this.watcher.checkAnew(tags.get(reference)!);
    this.stack.pulls.hookReceived(source, accepted.length, ignored.length);
    this.log.info({ source, accepted, ignored }, 'webhook');
    return { accepted, ignored };
  }

  /** Why nothing is to be done about the tag. */
  private async objection(tag: TagReference): Promise<string | undefined> {
    if (this.config.airGapped) return 'this server is air-gapped';
    if (!this.stack.upstream.allows(tag.repository.upstream)) return 'registry not allowed';
    if (this.config.hooks.uncached || this.watcher.watches(tag)) return undefined;
    const held = await this.stack.catalog.findTag(tag.repository, tag.tag);
    return held ? undefined : 'neither cached nor watched';
  }
}
