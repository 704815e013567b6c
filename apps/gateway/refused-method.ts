import type { IncomingMessage, ServerResponse } from 'node:http';

/** A body up to this size is read and thrown away, so that its connection can be used again. Bytes. */
const READ_AT_MOST = 2 ** 20;
const READ_MS = 5_000;

/**
 * Answers a method that is none of ours (WIRE A114): at once when no body comes, after it when it is short; a long or slow one
 * ends with the connection. `answer` sends the failure.
 */
export function refuseMethod(req: IncomingMessage, res: ServerResponse, answer: () => void): void {
  const { 'content-length': length, 'transfer-encoding': encoding, expect } = req.headers;
  const none = encoding === undefined && (length === undefined || length === '0');
  if (none || req.httpVersionMajor !== 1) {
    answer();
    return;
  }
  const end = () => {
    clearTimeout(timer);
    req.off('data', take).off('end', end);
    if (!req.complete) res.setHeader('connection', 'close');
    answer();
  };
  const timer = setTimeout(end, READ_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
  let left = READ_AT_MOST;
  const take = (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) end();
  };
  // Whoever asked whether to send a body may send it or not.
  if (expect !== undefined || Number(length) > READ_AT_MOST) end();
  else req.on('data', take).once('end', end);
}
