import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';

/** What failed, for people; the command exits with 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
}

/** Nobody listens where the admin API should be. */
export class NoServer extends CommandFailure {}

/** The server answered with an error. */
export class Refused extends CommandFailure {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

interface Call {
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly signal?: AbortSignal;
}

/** What the server says of itself and of what it depends on. */
export interface Readiness {
  readonly ready: boolean;
  readonly dependencies: Readonly<Record<string, { readonly status: string; readonly message?: string }>>;
}

/** An archive may be verified and written for long before the answer comes. */
const PATIENT = { headersTimeout: 0, bodyTimeout: 0, connectTimeout: 5000 };
const MAX_PROBLEM = 64 * 1024;

/** The admin API of a server. Every error is a CommandFailure that says what the server said. */
export class AdminApi {
  private readonly agent = new Agent(PATIENT);

  constructor(
    readonly url: string,
    private readonly token: string | undefined,
  ) {}

  /** JSON; `path` begins behind `/api/v1`. */
  async json<T>(method: Dispatcher.HttpMethod, path: string, call: Call = {}): Promise<T> {
    const { body } = await this.call(method, path, call);
    return (await body.json()) as T;
  }

  /** Sends bytes, receives JSON. */
  async upload<T>(path: string, bytes: Readable, type: string, call: Omit<Call, 'body'> = {}): Promise<T> {
    const { body } = await this.call('POST', path, { ...call, body: { bytes, type } });
    return (await body.json()) as T;
  }

  async download(path: string, call: Call): Promise<Readable> {
    return (await this.call('POST', path, call)).body;
  }

  /** All items of a list, page by page, at most `most`. */
  async *items<T>(path: string, query: Call['query'], signal?: AbortSignal): AsyncGenerator<T> {
    let cursor: string | undefined;
    do {
      const page = await this.json<{ items: T[]; next: string | null }>('GET', path, {
        query: { limit: 500, ...query, cursor },
        ...(signal ? { signal } : {}),
      });
      yield* page.items;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** Of a server that is not ready too: only one that does not answer is a failure. */
  async readiness(signal?: AbortSignal): Promise<Readiness> {
    const { statusCode, body } = await this.send(new URL(`${this.base}/health/ready`), 'GET', signal ? { signal } : {});
    const text = (await body.text()).slice(0, MAX_PROBLEM);
    try {
      const { details } = JSON.parse(text) as { details: Readiness['dependencies'] };
      if (details) return { ready: statusCode === 200, dependencies: details };
    } catch {
      // Another server.
    }
    throw new CommandFailure(`${this.url} is no ociregistry admin port: it answered ${statusCode}`);
  }

  close(): Promise<void> {
    return this.agent.destroy();
  }

  private get base(): string {
    return this.url.replace(/\/+$/, '');
  }

  private async call(method: Dispatcher.HttpMethod, path: string, call: Call) {
    const url = new URL(`${this.base}/api/v1${path}`);
    for (const [name, value] of Object.entries(call.query ?? {}))
      for (const one of [value ?? []].flat()) url.searchParams.append(name, String(one));
    const answer = await this.send(url, method, call);
    if (answer.statusCode < 400) return answer;
    throw new Refused(await problemOf(answer), answer.statusCode);
  }

  private async send(url: URL, method: Dispatcher.HttpMethod, { body, signal }: Call) {
    const raw = isUpload(body) ? body : undefined;
    const headers = {
      accept: 'application/json, */*',
      ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
      ...(raw ? { 'content-type': raw.type } : body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    try {
      return await request(url, {
        method,
        headers,
        dispatcher: this.agent,
        body: raw ? raw.bytes : body === undefined ? null : JSON.stringify(body),
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw this.unreachable(error);
    }
  }

  private unreachable(error: unknown): CommandFailure {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = message || code || String(error);
    const refused = code === 'ECONNREFUSED' || /ECONNREFUSED/.test(reason);
    return new (refused ? NoServer : CommandFailure)(
      `cannot reach ${this.url}: ${refused ? 'nobody listens there' : reason}`,
    );
  }
}

function isUpload(body: unknown): body is { bytes: Readable; type: string } {
  return typeof body === 'object' && body !== null && 'bytes' in body;
}

/** problem+json, or the first line of whatever came. */
async function problemOf({ statusCode, body }: Dispatcher.ResponseData): Promise<string> {
  const text = (await body.text()).slice(0, MAX_PROBLEM);
  const hint =
    statusCode === 401 || statusCode === 403 ? ' (give the admin token: --token or OCIREGISTRY_ADMIN_TOKEN)' : '';
  try {
    const problem = JSON.parse(text) as { detail?: string; title?: string; message?: string };
    const said = problem.detail ?? problem.message ?? problem.title;
    if (said) return `${said}${hint}`;
  } catch {
    // Not our server, or a proxy before it.
  }
  return `the server answered ${statusCode}: ${text.split('\n')[0]!.slice(0, 200)}${hint}`;
}
