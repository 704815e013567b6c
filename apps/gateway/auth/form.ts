import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure } from '#oci';

/** Bytes. */
const LONGEST = 16 * 1024;
const READ_MS = 5000;

/** The fields of the form in the request's body. Rejects with Failure TOKEN_REQUEST_INVALID for one that is too long or slow. */
export function readForm(req: IncomingMessage, res: ServerResponse): Promise<URLSearchParams> {
  if (req.headers.expect !== undefined) res.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let left = LONGEST;
    const refuse = (why: string) => {
      done();
      // The rest of it would be taken for the next request.
      if (req.httpVersionMajor === 1) res.setHeader('connection', 'close');
      reject(new Failure('TOKEN_REQUEST_INVALID', why));
    };
    const take = (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) refuse('the form is too long');
      else chunks.push(chunk);
    };
    const end = () => {
      done();
      resolve(new URLSearchParams(Buffer.concat(chunks).toString('utf8')));
    };
    const gone = () => refuse('the form ended early');
    const timer = setTimeout(() => refuse('the form came too slowly'), READ_MS);
    timer.unref();
    const done = () => {
      clearTimeout(timer);
      req.off('data', take).off('end', end).off('close', gone).pause();
    };
    req.on('data', take).once('end', end).once('close', gone);
  });
}
