import { RawConnection, raw } from '../../support/raw.js';
import { absent, type Wire } from './wire.js';

/** What is between requests: methods, bodies, versions of HTTP. */
export function connections(wire: Wire): void {
  const { ask, errorOf, image } = wire;

  describe('methods, bodies and connections', () => {
    it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])('A114: %s is 405 below /v2/', async (method) => {
      wire.upstream.requests.clear();
      for (const target of ['/v2/', '/v2/a/manifests/v1', '/v2/a/blobs/uploads/', '/v2/A/%00']) {
        const answer = await ask(target, [], method);
        expect([...errorOf(answer), answer.header('allow')]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD']);
      }
      const elsewhere = await raw(wire.base, '/a', { method });
      expect([...errorOf(elsewhere), elsewhere.header('allow')]).toEqual([404, 'UNSUPPORTED', undefined]);
      expect(wire.upstream.requests.length).toBe(0);
    });

    it.each([
      '/',
      '/v1/',
      '/v3/',
      '/v2x/',
      '/v2/a',
      '/v2/a/manifests',
      '/v2/a/tags/other',
      '/v2/_other',
      '/favicon.ico',
    ])('A115: %s is 404 with a JSON body', async (target) => {
      expect(errorOf(await raw(wire.base, target))).toEqual([404, 'UNSUPPORTED']);
    });

    it('A114, A116: bodies of writes and of GETs do not get between the requests of a connection', async () => {
      const connection = await RawConnection.open(wire.base);
      const version = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n';
      const body = 'GET /v2/evil HTTP/1.1\r\nHost: x\r\n\r\n';
      connection.send(
        `PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${version}`,
      );
      expect((await connection.answer()).status).toBe(405);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${version}`);
      for (let n = 0; n < 2; n++) expect((await connection.answer()).body.toString()).toBe('{}');
      connection.send(
        `POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${version}`,
      );
      expect((await connection.answer()).status).toBe(405);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.close();
    });

    it('A114: a long body is not read to its end, and nobody is invited to send one', async () => {
      const connection = await RawConnection.open(wire.base);
      connection.send('PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc');
      const answer = await connection.answer();
      expect([answer.status, answer.header('connection')]).toEqual([405, 'close']);
      await connection.closed();
      const polite = await RawConnection.open(wire.base);
      polite.send('PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
      expect((await polite.answer()).status).toBe(405);
      polite.close();
    });

    it('A120: HTTP/1.0 and Connection: close end after the answer', async () => {
      const { root } = image('old');
      for (const request of [
        'GET /v2/old/manifests/v1 HTTP/1.0\r\n\r\n',
        'GET /v2/old/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      ]) {
        const connection = await RawConnection.open(wire.base);
        connection.send(request);
        const answer = await connection.answer();
        expect([answer.status, answer.body.equals(root.bytes)]).toEqual([200, true]);
        expect((await connection.closed()).length).toBe(0);
      }
      const blob = root === undefined ? absent : image('old').images[0]!.layers[0]!.digest;
      const kept = await RawConnection.open(wire.base);
      kept.send(`GET /v2/old/blobs/${blob} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
      expect((await kept.answer()).status).toBe(200);
      kept.send('GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      expect((await kept.answer()).body.toString()).toBe('{}');
      kept.close();
    });

    it('A117, C76: connections that were idle for longer than Node keeps them are used again without a reset', async () => {
      const { root } = image('idle');
      const connections = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(wire.base)));
      const request = 'GET /v2/idle/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n';
      for (let round = 0; round < 2; round++) {
        for (const connection of connections) connection.send(request);
        for (const connection of connections) expect((await connection.answer()).body.equals(root.bytes)).toBe(true);
        // Node's own keep-alive ends after 5 s, and its look for idle connections may be a second late.
        if (round === 0) await new Promise((resolve) => setTimeout(resolve, 7_000));
      }
      for (const connection of connections) connection.close();
    });

    it('requests may come before the answers to those before them', async () => {
      const { root } = image('piped');
      const connection = await RawConnection.open(wire.base);
      const one = (target: string) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
      connection.send(one('/v2/piped/manifests/v1') + one('/v2/') + one('/v2/piped/manifests/none') + one('/v2/'));
      expect((await connection.answer()).body.equals(root.bytes)).toBe(true);
      expect((await connection.answer()).body.toString()).toBe('{}');
      expect((await connection.answer()).status).toBe(404);
      expect((await connection.answer()).body.toString()).toBe('{}');
      connection.close();
    });
  });
}
