import { type RawAnswer, RawConnection } from '../support/raw.js';
import { MEDIA_TYPES } from '../support/upstream/index.js';
import type { Attempt, Known } from './requests.js';

/** Sends one attempt after the other, over one connection for as long as the server keeps it. */
export class Caller {
  /** Of the last attempt. */
  statuses: number[] = [];
  private connection: RawConnection | undefined;
  private count = 0;

  constructor(
    private readonly url: string,
    private readonly known: Known,
    private readonly content: Buffer,
  ) {}

  /** What is wrong with the answers, if anything is. */
  async send(attempt: Attempt): Promise<string | undefined> {
    this.statuses = [];
    this.connection ??= await RawConnection.open(this.url);
    const { connection } = this;
    const probe = this.count++ % this.known.size;
    connection.send(attempt.bytes);
    // Right behind it, on the same connection: nobody else's bytes hold exactly this one.
    connection.send(
      `GET ${this.known.base}/blobs/${this.known.digest} HTTP/1.1\r\nHost: x\r\nRange: bytes=${probe}-${probe}\r\n\r\n`,
    );
    for (;;) {
      let answer: RawAnswer;
      try {
        answer = await connection.answer({ head: attempt.head && this.statuses.length === 0 });
      } catch {
        return this.ended(attempt);
      }
      const isProbe = this.statuses.length > 0 && answer.header('content-range') === this.rangeOf(probe, probe);
      if (isProbe) {
        if (attempt.unreadable) return 'was read';
        return answer.status === 206 && answer.body[0] === this.content[probe] ? undefined : 'the next answer is wrong';
      }
      this.statuses.push(answer.status);
      const problem = this.problemOf(answer, attempt);
      if (problem) return problem;
      if (answer.header('connection') === 'close') {
        if ((await connection.closed()).length > 0) return 'more came after Connection: close';
        return this.ended(attempt);
      }
    }
  }

  close(): void {
    this.connection?.close();
    this.connection = undefined;
  }

  /** Only what is no request, or says so itself, ends a connection. */
  private ended({ kind, bytes, unreadable }: Attempt): string | undefined {
    this.close();
    const closes =
      unreadable || kind === 'broken' || kind === 'long' || /\r\nconnection: close\r\n/i.test(bytes.toString('latin1'));
    return closes ? undefined : 'the connection ended';
  }

  private problemOf({ status, header, body, headers }: RawAnswer, { kind, head }: Attempt): string | undefined {
    if (status < 200 || status >= 500) return `answered with ${status}`;
    if (new Set(headers.map(([each]) => each.toLowerCase())).size < headers.length) return 'a header comes twice';
    if (status >= 400) {
      if (header('content-type') !== 'application/json') return `${status} without a JSON body`;
      if (!head && !/^[A-Z_]+$/.test(JSON.parse(body.toString()).errors[0].code)) return `${status} without a code`;
      return undefined;
    }
    if (kind === 'accepted') {
      if (status !== 200 || header('content-type') !== MEDIA_TYPES.oci.manifest) return 'another manifest';
      return head || body.equals(this.known.manifest) ? undefined : 'other bytes of a manifest';
    }
    if (kind !== 'warm' || head) return undefined;
    const [start, end] =
      /^bytes (\d+)-(\d+)\//
        .exec(header('content-range') ?? '')
        ?.slice(1)
        .map(Number) ?? [];
    const right = status === 200 ? this.content : this.content.subarray(start, (end ?? 0) + 1);
    return body.equals(right) ? undefined : `${status} with other bytes`;
  }

  private rangeOf(first: number, last: number): string {
    return `bytes ${first}-${last}/${this.known.size}`;
  }
}
