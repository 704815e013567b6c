/** A real server that a test runs for itself: always on loopback, on a port and with data of its own. */
export interface Service {
  readonly host: string;
  readonly port: number;
  /** Process id of a local server while it runs; undefined in a container. */
  readonly pid: number | undefined;
  /** Stops it in its own orderly way if it runs, then starts it again on the same port with the same data. */
  restart(): Promise<void>;
  /** SIGKILL: nothing is flushed or said goodbye to. The data stays for {@link restart}. */
  kill(): Promise<void>;
  /** Stops it and removes its data. May be called more than once. */
  stop(): Promise<void>;
  /** What it has printed so far. */
  logs(): Promise<string>;
}

/** How one kind of server is run, in either place. */
export interface ServiceRecipe {
  name: string;
  container: {
    image: string;
    port: number;
    env?: Record<string, string>;
    command?: string[];
    files?: { source: string; target: string }[];
  };
  /** Prepares `directory` (its own, empty at first, kept over restarts) and says what to run. */
  local(directory: string, port: number): Promise<LocalCommand>;
  /** Resolves when the server answers; throws while it does not. Called again and again. */
  probe(port: number): Promise<void>;
}

export interface LocalCommand {
  command: string;
  args: string[];
  env?: Record<string, string>;
  uid?: number;
  gid?: number;
  /** The signal of an orderly stop; SIGTERM if not given. */
  stopSignal?: NodeJS.Signals;
}

/** Upper bound for one start, in milliseconds. Nothing waits this long unless the machine is overloaded. */
export const startTimeout = 90_000;
