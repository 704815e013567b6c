import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { Failure } from '#oci';

/** Checks that wait, of all clients and of one address; more are refused, and so is who has waited this many milliseconds. */
const MOST_WAITING = 128;
const MOST_OF_ONE = 32;
const MOST_WAIT_MS = 10_000;
/** Milliseconds without a check after which the thread ends. */
const IDLE_MS = 30_000;

/**
 * From its text: built, a file of its own would lie at another place than under test. It finds the library by the path that it
 * is given.
 */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const { compareSync } = require(workerData);
parentPort.on('message', ({ password, hash }) => parentPort.postMessage(compareSync(password, hash)));
`;

interface Check {
  readonly password: string;
  readonly hash: string;
  /** `performance.now()` */
  readonly since: number;
  readonly resolve: (right: boolean) => void;
  readonly reject: (error: Failure) => void;
}

/**
 * bcrypt, which costs its milliseconds of CPU by design, on a thread of its own: one check at a time, addresses in turns. After a
 * wrong password it rests for as long as the check took, so that a flood of them gets half of one core at most.
 */
export class Passwords {
  private readonly waiting = new Map<string, Check[]>();
  private count = 0;
  private running: Check | undefined;
  private worker: Worker | undefined;
  private resting: NodeJS.Timeout | undefined;
  private idle: NodeJS.Timeout | undefined;

  /** Whether the password has this hash. Rejects with Failure TOO_MANY_LOGINS or UNAVAILABLE. */
  check(password: string, hash: string, address: string): Promise<boolean> {
    const own = this.waiting.get(address) ?? [];
    if (this.count >= MOST_WAITING || own.length >= MOST_OF_ONE) return Promise.reject(new Failure('TOO_MANY_LOGINS'));
    return new Promise((resolve, reject) => {
      own.push({ password, hash, since: performance.now(), resolve, reject });
      this.waiting.set(address, own);
      this.count++;
      this.next();
    });
  }

  close(): void {
    clearTimeout(this.resting);
    for (let check = this.take(); check; check = this.take()) check.reject(new Failure('UNAVAILABLE'));
    this.end();
  }

  private next(): void {
    if (this.running || this.resting) return;
    const check = this.take();
    clearTimeout(this.idle);
    if (check === undefined) {
      this.idle = setTimeout(() => this.end(), IDLE_MS).unref();
      return;
    }
    if (performance.now() - check.since > MOST_WAIT_MS) {
      check.reject(new Failure('TOO_MANY_LOGINS'));
      this.next();
      return;
    }
    this.running = check;
    const started = performance.now();
    this.thread().once('message', (right: boolean) => {
      this.running = undefined;
      check.resolve(right);
      if (!right) {
        const rest = () => {
          this.resting = undefined;
          this.next();
        };
        this.resting = setTimeout(rest, performance.now() - started).unref();
      }
      this.next();
    });
    this.thread().postMessage({ password: check.password, hash: check.hash });
  }

  /** The next check, of another address than the last one where there is one. */
  private take(): Check | undefined {
    const [entry] = this.waiting;
    if (entry === undefined) return undefined;
    const [address, checks] = entry;
    this.waiting.delete(address);
    const check = checks.shift();
    if (checks.length > 0) this.waiting.set(address, checks);
    this.count--;
    return check;
  }

  private thread(): Worker {
    if (this.worker) return this.worker;
    const library = createRequire(import.meta.url).resolve('bcryptjs');
    const worker = new Worker(PROGRAM, { eval: true, workerData: library });
    worker.on('error', () => {
      this.end();
      this.next();
    });
    worker.unref();
    this.worker = worker;
    return worker;
  }

  private end(): void {
    clearTimeout(this.idle);
    void this.worker
      ?.removeAllListeners()
      .on('error', () => {})
      .terminate();
    this.worker = undefined;
    this.running?.reject(new Failure('UNAVAILABLE'));
    this.running = undefined;
  }
}
