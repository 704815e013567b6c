import type { IncomingMessage } from 'node:http';

/** What goes wrong with the requests it matches. Everything that is set applies; later faults win over earlier ones. */
export interface Fault {
  /** Tested against the path without its query (`/v2/...`, `/token`, `/storage/...`). Default: every path. */
  readonly path?: RegExp;
  readonly method?: string;
  /** Only the first so many matching requests. */
  readonly times?: number;
  /** Lets so many matching requests pass first. */
  readonly skip?: number;
  /** Only requests that carry (or do not carry) a Range. */
  readonly ranged?: boolean;

  /** Milliseconds before the headers. */
  readonly delay?: number;
  /** Headers wait for this promise. */
  readonly gate?: Promise<unknown>;
  /** Never answers. */
  readonly hang?: boolean;
  /** Destroys the connection instead of answering. */
  readonly reset?: boolean;
  /** Answers this instead of the content; with `headers`, and `body` or an OCI error body. */
  readonly status?: number;
  /** Added to the answer; undefined removes a header. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: string | Buffer;
  /** Location of a redirect; `status` defaults to 307. */
  readonly redirect?: string | ((path: string) => string);

  /** Ignores Range, and says so by leaving Accept-Ranges out. */
  readonly noRange?: boolean;
  /** No Content-Length: chunked. */
  readonly noLength?: boolean;
  /** Docker-Content-Digest to send instead; null sends none. */
  readonly digest?: string | null;
  /** HEAD answers 405. */
  readonly noHead?: boolean;
  /** Content-Type to send instead; null sends none. */
  readonly contentType?: string | null;
  /** Content-Encoding: gzip although nobody asked. */
  readonly gzip?: boolean;
  /** A captive portal: 200 with an HTML page. */
  readonly html?: boolean;
  /** 200 with Content-Length 0. For a declared length without bytes use `truncate: 0`. */
  readonly empty?: boolean;
  /** So many bytes too many, inside the declared length (or chunked, with `noLength`). */
  readonly extra?: number;
  /** Flips every bit of the byte at this offset of the blob (whatever range is asked). */
  readonly flip?: number;
  /** Destroys the connection after so many body bytes of this answer. */
  readonly truncate?: number;
  /** After `at` body bytes, waits for `open`; without `open` for ever. */
  readonly stall?: { readonly at: number; readonly open?: Promise<unknown> };
  /** Body bytes per second of each answer. */
  readonly rate?: number;
  /** Body bytes per second of all answers under this fault together. */
  readonly totalRate?: number;
}

/** The faults in force, changeable at any time. */
export class Faults {
  private readonly entries: { fault: Fault; seen: number; bucket: { free: number } }[] = [];

  /** Returns the function that takes it back. */
  add(fault: Fault): () => void {
    const entry = { fault, seen: 0, bucket: { free: 0 } };
    this.entries.push(entry);
    return () => {
      const at = this.entries.indexOf(entry);
      if (at >= 0) this.entries.splice(at, 1);
    };
  }

  clear(): void {
    this.entries.length = 0;
  }

  /** What applies to this request; counts it against `times` and `skip`. */
  take(request: IncomingMessage, path: string): Fault & { bucket?: { free: number } } {
    if (this.entries.length === 0) return {};
    let merged: Fault & { bucket?: { free: number } } = {};
    for (const entry of this.entries) {
      const { path: pattern, method, times = Infinity, skip = 0, ranged, ...rest } = entry.fault;
      if (pattern && !pattern.test(path)) continue;
      if (method && method !== request.method) continue;
      if (ranged !== undefined && ranged !== (request.headers.range !== undefined)) continue;
      const nth = entry.seen++;
      if (nth < skip || nth >= skip + times) continue;
      merged = { ...merged, ...rest };
      if (entry.fault.totalRate !== undefined) merged.bucket = entry.bucket;
    }
    return merged;
  }
}
