import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect } from 'node:net';
import { makeCertificates } from '../../test/support/upstream/index.js';
import { GatewayServer } from './gateway-server.js';
import type { PullApi } from './pull-api.js';

const api = { handle: (_, res) => void res.end('ok') } as PullApi;

function ask(request: typeof httpRequest | typeof httpsRequest, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', agent: false, ...options }, (res) => {
      res.resume();
      res.on('end', () => resolve(res.statusCode ?? 0));
    });
    req.on('error', reject).end();
  });
}

describe('GatewayServer', () => {
  it('serves TLS, and with requestCert only to clients that have a certificate', async () => {
    const { ca, cert, key, clientCert, clientKey } = makeCertificates();
    const open = new GatewayServer(api, { cert, key, requestCert: false, rejectUnauthorized: false });
    const closed = new GatewayServer(api, { cert, key, ca, requestCert: true, rejectUnauthorized: true });
    const [first, second] = [await open.listen(0, '127.0.0.1'), await closed.listen(0, '127.0.0.1')];
    try {
      expect(await ask(httpsRequest, { port: first, ca })).toBe(200);
      await expect(ask(httpsRequest, { port: second, ca })).rejects.toThrow();
      expect(await ask(httpsRequest, { port: second, ca, cert: clientCert, key: clientKey })).toBe(200);
    } finally {
      await Promise.all([open.stop(100), closed.stop(100)]);
    }
  });

  it('A8: a TLS hello on the plain port is answered with 400 or a close, at once', async () => {
    const server = new GatewayServer(api);
    const port = await server.listen(0, '127.0.0.1');
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from('160301020001000000', 'hex')));
      socket.on('data', (data) => {
        text += data;
      });
      socket.on('close', () => resolve(text));
      socket.on('error', () => {});
    });
    expect(answer === '' || answer.startsWith('HTTP/1.1 400')).toBe(true);
    await server.stop(100);
  });

  it('A76: takes 20 KB of headers', async () => {
    const server = new GatewayServer(api);
    const port = await server.listen(0, '127.0.0.1');
    expect(await ask(httpRequest, { port, headers: { range: `bytes=${'0-1,'.repeat(5000)}5-6` } })).toBe(200);
    await server.stop(100);
  });
});
