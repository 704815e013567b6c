import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

/**
 * One path of the admin port, and what is below it, on a port of its own. Nothing else of the admin port is there: who may
 * read this need not be who may read that.
 */
export async function openSidePort(path: string, listener: Listener, port: number, host: string): Promise<Server> {
  const server = createServer((req, res) => {
    const asked = req.url?.split('?', 1)[0] ?? '';
    if (asked === path || asked.startsWith(`${path}/`)) listener(req, res);
    else res.writeHead(404, { 'content-length': 0 }).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}
