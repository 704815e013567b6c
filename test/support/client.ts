import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The connection ended before the declared length. */
  readonly cut: boolean;
}

export interface GetOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  onBytes?(total: number): void;
  onChunk?(chunk: Buffer, total: number): void;
  /** After its first piece the client reads nothing until this resolves. */
  readonly pause?: Promise<unknown>;
  /** The client leaves: the connection is closed and the promise rejects. */
  readonly signal?: AbortSignal;
}

/** One raw GET or HEAD over a connection of its own; a cut body is an answer, not an exception. */
export function get(url: string, options: GetOptions = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, signal } = options;
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    const req = httpRequest(url, { agent: false, method, headers, ...(signal ? { signal } : {}) }, (res) => {
      const chunks: Buffer[] = [];
      let total = 0;
      const end = (cut: boolean) =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks), cut });
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        total += chunk.length;
        options.onBytes?.(total);
        options.onChunk?.(chunk, total);
        if (options.pause && chunks.length === 1) {
          res.pause();
          options.pause.then(() => res.resume());
        }
      });
      res.on('end', () => end(!res.complete));
      res.on('error', () => end(true));
    });
    // A reset may overtake the headers; for the client that is a cut answer too.
    req.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') resolve({ status: 0, headers: {}, body: Buffer.alloc(0), cut: true });
      else reject(error);
    });
    req.end();
  });
}

export function digestOfBody(body: Buffer): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}
