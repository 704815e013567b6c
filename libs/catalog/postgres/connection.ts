import type { Pool, QueryConfig } from 'pg';
import { DataSource } from 'typeorm';
import { entities } from '../entities/index.js';
import type { PoolState } from '../port.js';
import { lookups, type Statement } from '../statements/index.js';
import { catalogFailure, isConflict, overloaded } from './failures.js';
import { silentLogger } from './silent-logger.js';

export interface ConnectionOptions {
  /** `postgresql://user:password@host:port/database?sslmode=...`; `?host=/directory` for a Unix socket. */
  readonly url: string;
  /** Connections at most. Default 10. */
  readonly poolSize?: number;
  /**
   * Named prepared statements. Default true; false for a pooler in transaction mode, which may not carry them
   * (PgBouncer before 1.21) and refuses our start-up parameters (all of them): then no session state is used at all.
   */
  readonly preparedStatements?: boolean;
  /** Milliseconds to connect, or to wait for a free connection. Default 5,000. */
  readonly connectTimeout?: number;
  /** Milliseconds of one statement. Default 10,000. */
  readonly statementTimeout?: number;
  /** What PostgreSQL shows in pg_stat_activity. Default `ociregistry`. */
  readonly applicationName?: string;
  /**
   * Lowers the priority of the session with this process id for good; for a database that shares its machine with us. Sessions
   * that read whole tables are, and are not used again.
   */
  readonly demote?: (pid: number) => void;
  /** A connection that was not in use broke. Only worth a log line: the next query gets a new one. */
  readonly onConnectionLost?: (error: Error) => void;
}

/** Prepared lookups are of single keys: whatever the tables' size when they are planned, an index is right. */
const PLANS = '-c enable_seqscan=off';
/** Hashes spill to disk before a plan of a million images takes more than some hundred megabytes. */
const FOR_MANY_ROWS = `SET LOCAL enable_seqscan = on; SET LOCAL jit = off; SET LOCAL work_mem = '48MB'; SET LOCAL hash_mem_multiplier = 1`;
const STATEMENT_MS = 10_000;
const MAX_WAITING = 2_000;
const MAX_TRIES = 5;

/** One statement within a transaction: its rows, and how many it changed. */
// biome-ignore lint/suspicious/noExplicitAny: the caller knows the columns.
export type Run = <Row = any>(
  statement: Pick<Statement, 'text'>,
  values?: readonly unknown[],
) => Promise<{ rows: Row[]; count: number }>;

/** TypeORM's data source and the `pg` pool that it owns. One try to connect; rejects with Failure UNAVAILABLE. */
export class Connection {
  private readonly pgPool: Pool;
  private readonly prepared: boolean;
  private readonly demote: ((pid: number) => void) | undefined;
  private closing?: Promise<void>;

  /** Milliseconds of one statement. */
  readonly statementTimeout: number;

  private constructor(
    readonly dataSource: DataSource,
    options: ConnectionOptions,
  ) {
    this.statementTimeout = options.statementTimeout ?? STATEMENT_MS;
    this.pgPool = (dataSource.driver as unknown as { master: Pool }).master;
    this.prepared = options.preparedStatements ?? true;
    this.demote = options.demote;
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const connectTimeout = options.connectTimeout ?? 5_000;
    const statementTimeout = options.statementTimeout ?? STATEMENT_MS;
    const dataSource = new DataSource({
      type: 'postgres',
      url: options.url,
      entities,
      logger: silentLogger,
      installExtensions: false,
      poolErrorHandler: (error: Error) => options.onConnectionLost?.(error),
      extra: {
        application_name: options.applicationName ?? 'ociregistry',
        max: options.poolSize ?? 10,
        idleTimeoutMillis: 60_000,
        connectionTimeoutMillis: connectTimeout,
        keepAlive: true,
        // The server's time-out ends a statement cleanly; the client's is for a server that does not answer at all.
        query_timeout: statementTimeout + 1_000,
        ...((options.preparedStatements ?? true) ? { statement_timeout: statementTimeout, options: PLANS } : {}),
      },
    });
    try {
      await dataSource.initialize();
    } catch (error) {
      if (dataSource.isInitialized) await dataSource.destroy();
      throw catalogFailure(error);
    }
    return new Connection(dataSource, options);
  }

  /** Rows of one statement. Rejects with Failure UNAVAILABLE (origin catalog) on trouble of the connection. */
  async query<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    return (await this.send<Row>(statement, values)).rows;
  }

  /** How many rows the statement changed. */
  async execute(statement: Statement, values: readonly unknown[]): Promise<number> {
    return (await this.send(statement, values)).count;
  }

  get pool(): PoolState {
    const { totalCount, idleCount, waitingCount } = this.pgPool;
    return { idle: idleCount, busy: totalCount - idleCount, waiting: waitingCount };
  }

  /**
   * Several statements as one transaction, each within `timeout` ms, planned for reading many rows. Run again as a whole
   * when it met another. Nothing outlives it in the session, so that a pooler in transaction mode is fine. `patient`: whoever
   * serves clients on the same machine comes first.
   */
  async transaction<T>(timeout: number, work: (run: Run) => Promise<T>, patient = false): Promise<T> {
    const demote = patient ? this.demote : undefined;
    for (let tries = 1; ; tries++) {
      const client = await this.pgPool.connect().catch((error: unknown) => {
        throw catalogFailure(error);
      });
      // The client's own time-out is of the connection's statements.
      const ask = (text: string, values: readonly unknown[] = []) =>
        client.query({ text, values: values as unknown[], query_timeout: timeout + 1_000 } as QueryConfig);
      let broken: Error | boolean = demote !== undefined;
      try {
        await ask('BEGIN');
        if (demote) demote((await ask('SELECT pg_backend_pid() AS pid')).rows[0].pid);
        await ask(`SET LOCAL statement_timeout = ${Math.ceil(timeout)}`);
        await ask(FOR_MANY_ROWS);
        const result = await work(async (statement, values = []) => {
          const { rows, rowCount } = await ask(statement.text, values);
          return { rows, count: rowCount ?? 0 };
        });
        await ask('COMMIT');
        return result;
      } catch (error) {
        await ask('ROLLBACK').catch((lost: Error) => {
          broken = lost;
        });
        if (!isConflict(error) || tries >= MAX_TRIES) throw catalogFailure(error);
      } finally {
        client.release(broken);
      }
    }
  }

  async ping(): Promise<void> {
    await this.send(lookups.ping, []);
  }

  /** Running statements end first. */
  close(): Promise<void> {
    this.closing ??= this.dataSource.destroy();
    return this.closing;
  }

  private async send<Row>(statement: Statement, values: readonly unknown[]): Promise<{ rows: Row[]; count: number }> {
    const config = {
      text: statement.text,
      values: values as unknown[],
      ...(this.prepared && !statement.replan ? { name: statement.name } : {}),
    };
    for (let tries = 1; ; tries++) {
      if (this.pgPool.waitingCount >= MAX_WAITING) throw overloaded('queries');
      try {
        const result = await this.pgPool.query(config);
        return { rows: result.rows as Row[], count: result.rowCount ?? 0 };
      } catch (error) {
        if (!isConflict(error) || tries >= MAX_TRIES) throw catalogFailure(error);
      }
    }
  }
}
