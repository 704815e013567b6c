// A process of its own: many clients that ask for one blob at once and hash every byte as it comes.
//   node many-readers.mjs URL,URL... SHA256_HEX CLIENTS  ->  one JSON line
// {"right", "wrong", "cut", "refused", "statuses": {"503": 2}, "firstByteMs": {"p50", "max"}, "seconds"}
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import process from 'node:process';

const [, , urlList, expected, count] = process.argv;
const urls = urlList.split(',').map((url) => new URL(url));
const tally = { right: 0, wrong: 0, cut: 0, refused: 0 };
/** Of the refused ones. */
const statuses = {};
const firstBytes = [];
const startedAt = performance.now();
/** All sockets read into the same memory: what arrives is hashed before the next read. */
const shared = Buffer.allocUnsafeSlow(256 * 1024);

function read({ hostname, port, pathname, search }) {
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    let head = '';
    let length = -1;
    let received = 0;
    let settled = false;
    const end = (how) => {
      if (settled) return;
      settled = true;
      tally[how]++;
      socket.destroy();
      resolve();
    };
    const take = (bytes) => {
      if (received === 0 && bytes.length > 0) firstBytes.push(performance.now() - startedAt);
      hash.update(bytes);
      received += bytes.length;
      if (received < length) return;
      end(received === length && hash.digest('hex') === expected ? 'right' : 'wrong');
    };
    const socket = connect({
      host: hostname,
      port: Number(port),
      onread: {
        buffer: shared,
        callback: (count) => {
          let bytes = shared.subarray(0, count);
          if (length < 0) {
            head += bytes.toString('latin1');
            const at = head.indexOf('\r\n\r\n');
            if (at < 0) return true;
            if (!head.startsWith('HTTP/1.1 200')) {
              const status = head.slice(9, 12);
              statuses[status] = (statuses[status] ?? 0) + 1;
              end('refused');
              return false;
            }
            length = Number(/\r\ncontent-length: (\d+)/i.exec(head)[1]);
            bytes = bytes.subarray(count - (head.length - at - 4));
          }
          take(bytes);
          return true;
        },
      },
    });
    socket.on('error', () => {});
    socket.on('close', () => end('cut'));
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  });
}

await Promise.all(Array.from({ length: Number(count) }, (_, i) => read(urls[i % urls.length])));
firstBytes.sort((a, b) => a - b);
const firstByteMs = { p50: firstBytes[firstBytes.length >> 1] ?? 0, max: firstBytes.at(-1) ?? 0 };
process.stdout.write(
  `${JSON.stringify({ ...tally, statuses, firstByteMs, seconds: (performance.now() - startedAt) / 1000 })}\n`,
);
