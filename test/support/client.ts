import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The connection ended before the declared length. */
  readonly cut: boolean;
}

/** One raw GET or HEAD over a connection of its own; a cut body is an answer, not an exception. */
export function get(
  url: string,
  options: { method?: string; headers?: Record<string, string>; onBytes?: (total: number) => void } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = httpRequest(
      url,
      { agent: false, method: options.method ?? 'GET', headers: options.headers ?? {} },
      (res) => {
        const chunks: Buffer[] = [];
        let total = 0;
        const end = (cut: boolean) =>
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks), cut });
        res.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          total += chunk.length;
          options.onBytes?.(total);
        });
        res.on('end', () => end(!res.complete));
        res.on('error', () => end(true));
      },
    );
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
