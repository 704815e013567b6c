import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

/** What happens to one request on its way to S3. */
type Fault =
  /** Answered so, without asking S3; `code` is S3's own. */
  | { status: number; code?: string }
  /** The answer's body is cut off after so many bytes. */
  | { cutAfter: number }
  /** S3 does what it is asked, and nobody hears of it. */
  | 'lost'
  /** Nothing ever comes back. */
  | 'silent';

export interface FaultProxy {
  readonly endpoint: string;
  /** `METHOD path?query` of every request, in order. */
  readonly requests: string[];
  /** Asked for each request; undefined lets it pass. */
  fault: (request: string) => Fault | undefined;
  close(): void;
}

/** An S3 endpoint in front of the real one. Signatures stay valid: requests pass with the Host that they were signed for. */
export async function startFaultProxy(target: string, tls?: { cert: string; key: string }): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const proxy: FaultProxy = {
    endpoint: '',
    requests: [],
    fault: () => undefined,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  const listener: http.RequestListener = (request, response) => {
    const line = `${request.method} ${request.url}`;
    proxy.requests.push(line);
    const fault = proxy.fault(line);
    if (fault === 'silent') return request.resume();
    if (typeof fault === 'object' && 'status' in fault) {
      request.resume();
      return response.writeHead(fault.status).end(fault.code && `<Error><Code>${fault.code}</Code></Error>`);
    }
    const { method, url: path, headers } = request;
    const onward = http.request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      if (fault === 'lost') {
        answer.resume().on('end', () => response.destroy());
        return;
      }
      response.writeHead(answer.statusCode!, answer.headers);
      if (fault?.cutAfter === 0) {
        response.flushHeaders();
        return setImmediate(() => response.destroy());
      }
      let left = fault ? fault.cutAfter : Number.POSITIVE_INFINITY;
      answer.on('data', (chunk: Buffer) => {
        if (left === 0) return;
        const passed = chunk.subarray(0, left);
        left -= passed.length;
        if (!response.write(passed)) {
          answer.pause();
          response.once('drain', () => answer.resume());
        }
        // Cut once what was let through has been sent.
        if (left === 0) response.write('', () => response.destroy());
      });
      answer.on('end', () => left > 0 && response.end());
      response.on('close', () => answer.destroy());
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http${tls ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(proxy, { endpoint });
}
