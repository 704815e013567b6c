import type { IncomingHttpHeaders } from 'node:http';

export interface LoggedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly range?: string;
  readonly headers: IncomingHttpHeaders;
  /** Counts connections from 1, so that reuse can be seen. */
  readonly connection: number;
  /** 0 while no headers were sent. */
  status: number;
  /** Body bytes handed to the connection. */
  sent: number;
  /** The answer is over, completely or not. */
  done: boolean;
  /** The connection was gone before the answer was complete. */
  aborted: boolean;
}

export interface RequestFilter {
  readonly method?: string;
  readonly path?: RegExp;
  readonly status?: number;
}

/** Every request in the order of arrival. */
export class RequestLog implements Iterable<LoggedRequest> {
  private entries: LoggedRequest[] = [];
  private waiting: (() => void)[] = [];

  get length(): number {
    return this.entries.length;
  }

  [Symbol.iterator](): Iterator<LoggedRequest> {
    return this.entries[Symbol.iterator]();
  }

  clear(): void {
    this.entries = [];
  }

  filter({ method, path, status }: RequestFilter): LoggedRequest[] {
    return this.entries.filter(
      (r) =>
        (!method || r.method === method) &&
        (!path || path.test(r.path)) &&
        (status === undefined || r.status === status),
    );
  }

  count(filter: RequestFilter = {}): number {
    return this.filter(filter).length;
  }

  /** GET requests of matching paths, answered or not. */
  gets(path?: RegExp): number {
    return this.count({ method: 'GET', path });
  }

  heads(path?: RegExp): number {
    return this.count({ method: 'HEAD', path });
  }

  /** Body bytes sent in answer to matching requests. */
  bytes(path?: RegExp): number {
    return this.filter({ path }).reduce((sum, r) => sum + r.sent, 0);
  }

  /** Resolves once `count` matching requests were seen and, with `done`, are over. */
  async until(filter: RequestFilter & { count?: number; done?: boolean }): Promise<void> {
    const { count = 1, done = false } = filter;
    while (this.filter(filter).filter((r) => r.done || !done).length < count) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  add(entry: LoggedRequest): void {
    this.entries.push(entry);
    this.changed();
  }

  changed(): void {
    if (this.waiting.length === 0) return;
    const waiting = this.waiting;
    this.waiting = [];
    for (const wake of waiting) wake();
  }
}
