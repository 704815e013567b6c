import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

/** One answer as its bytes say it. */
export interface RawAnswer {
  readonly version: string;
  readonly status: number;
  /** In order, names as they were sent. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** By lower-case name; the first one. */
  header(name: string): string | undefined;
}

/**
 * A connection that sends exactly what it is told and reads answers by their Content-Length, so that nothing is put right
 * on the way.
 */
export class RawConnection {
  private buffer = Buffer.alloc(0);
  private ended = false;
  private wake: () => void = () => {};

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      this.wake();
    });
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
    socket.on('error', () => {});
  }

  /** With TLS for a URL that says so; `tls`: what else is said there. */
  static async open(url: string, tls: ConnectionOptions = {}): Promise<RawConnection> {
    const { protocol, hostname: host, port } = new URL(url);
    const secure = protocol === 'https:';
    const socket = secure ? connectTls({ host, port: Number(port), ...tls }) : connect(Number(port), host);
    await new Promise<void>((resolve, reject) => {
      socket.once(secure ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    });
    return new RawConnection(socket);
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** The next answer. Rejects when the connection ends before or inside it. */
  async answer(options: { readonly head?: boolean } = {}): Promise<RawAnswer> {
    let end = -1;
    await this.until(() => {
      end = this.buffer.indexOf('\r\n\r\n');
      return end >= 0;
    });
    const [first = '', ...lines] = this.buffer.subarray(0, end).toString('latin1').split('\r\n');
    const headers = lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
    const header = (name: string) => headers.find(([each]) => each.toLowerCase() === name)?.[1];
    const [version = '', status = ''] = first.split(' ');
    const bodyless = options.head || status === '304';
    const length = bodyless ? 0 : Number(header('content-length') ?? 0);
    await this.until(() => this.buffer.length >= end + 4 + length);
    const body = Buffer.from(this.buffer.subarray(end + 4, end + 4 + length));
    this.buffer = this.buffer.subarray(end + 4 + length);
    return { version, status: Number(status), headers, body, header };
  }

  /** Resolves with what came after the last answer once the other side has closed. */
  async closed(): Promise<Buffer> {
    while (!this.ended) await this.change();
    return this.buffer;
  }

  close(): void {
    this.socket.destroy();
  }

  private async until(done: () => boolean): Promise<void> {
    while (!done()) {
      if (this.ended) throw new Error(`connection ended after ${JSON.stringify(this.buffer.toString('latin1'))}`);
      await this.change();
    }
  }

  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

/** One request on a connection of its own; `target` goes out as it is. */
export async function raw(
  url: string,
  target: string,
  options: { readonly method?: string; readonly headers?: readonly string[] } = {},
): Promise<RawAnswer> {
  const { method = 'GET', headers = [] } = options;
  const connection = await RawConnection.open(url);
  try {
    connection.send([`${method} ${target} HTTP/1.1`, 'Host: registry.test', ...headers, '', ''].join('\r\n'));
    return await connection.answer({ head: method === 'HEAD' });
  } finally {
    connection.close();
  }
}
