// A process of its own: a TCP proxy whose answers share one rate. Tells its parent the port it listens on.
//   fork('shaper.mjs', [TARGET_PORT, BYTES_PER_SECOND])
import { connect, createServer } from 'node:net';
import process from 'node:process';

const [targetPort, bytesPerSecond] = process.argv.slice(2).map(Number);
/** What may be sent at once after a pause; a timer is later than this only on an overloaded machine. */
const BURST = bytesPerSecond / 20;
const TICK_MS = 2;

/** One chunk of each connection, in the order of arrival: connections share the rate evenly. */
const waiting = [];
let allowance = BURST;
let countedAt = performance.now();
let timer;

function send() {
  timer = undefined;
  const now = performance.now();
  allowance = Math.min(BURST, allowance + ((now - countedAt) / 1000) * bytesPerSecond);
  countedAt = now;
  while (allowance > 0 && waiting.length > 0) {
    const { chunk, write } = waiting.shift();
    allowance -= chunk.length;
    write(chunk);
  }
  if (waiting.length > 0) timer = setTimeout(send, TICK_MS);
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  const both = [client, target];
  client.pipe(target);
  target.on('data', (chunk) => {
    target.pause();
    waiting.push({
      chunk,
      write: (bytes) => {
        if (client.destroyed) target.destroy();
        else if (client.write(bytes)) target.resume();
        else client.once('drain', () => target.resume());
      },
    });
    if (!timer) send();
  });
  target.on('end', () => client.end());
  for (const socket of both) {
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const one of both) one.destroy();
    });
  }
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
// The parent's end is this one's end.
process.on('disconnect', () => process.exit(0));
