import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** A forwarding HTTP proxy on a loopback port: CONNECT tunnels, and plain requests in absolute form. */
export interface ForwardingProxy {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** `CONNECT host:port` and `GET http://...`, in order. */
  readonly asked: string[];
  /** The Proxy-Authorization headers that came. */
  readonly credentials: (string | undefined)[];
  stop(): Promise<void>;
}

/** `leads`: where names lead that nobody else knows, by `host` or `host:port` as it is asked; `host:port`. */
export async function startForwardingProxy(leads: Readonly<Record<string, string>> = {}): Promise<ForwardingProxy> {
  const asked: string[] = [];
  const credentials: (string | undefined)[] = [];
  const sockets = new Set<Socket>();
  const note = (req: IncomingMessage) => {
    asked.push(`${req.method} ${req.url}`);
    credentials.push(req.headers['proxy-authorization']);
  };
  const server = createServer((req: IncomingMessage, res: ServerResponse) => {
    note(req);
    const { 'proxy-authorization': _, ...headers } = req.headers;
    const url = new URL(req.url as string);
    url.host = leads[url.host] ?? url.host;
    const onward = request(url, { method: req.method, headers, agent: false }, (answer) => {
      res.writeHead(answer.statusCode as number, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', () => res.writeHead(502).end());
    req.pipe(onward);
  });
  server.on('connect', (req: IncomingMessage, client: Socket) => {
    note(req);
    const wanted = req.url as string;
    const [host, port] = (leads[wanted.replace(/:80$/, '')] ?? wanted).split(':');
    const onward = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      onward.pipe(client).pipe(onward);
    });
    for (const socket of [client, onward]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        onward.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    credentials,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
