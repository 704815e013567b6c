import fs from 'node:fs';

// The callback API: a FileHandle costs two to three times as much per small read or write, measured.

export function readAt(fd: number, into: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, 0, into.length, offset, (error, count) => (error ? reject(error) : resolve(count)));
  });
}

/** Writes all of `chunk`; the kernel may take it in several goes, and says ENOSPC only on the one that finds no room. */
export function writeAt(fd: number, chunk: Buffer, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (done: number): void => {
      fs.write(fd, chunk, done, chunk.length - done, offset + done, (error, count) => {
        if (error) reject(error);
        else if (done + count < chunk.length) next(done + count);
        else resolve();
      });
    };
    next(0);
  });
}

export function openFile(path: string, flags: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, 0o644, (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(fd, (error) => (error ? reject(error) : resolve()));
  });
}

export function syncFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()));
  });
}

/** Leaves nothing in the file. */
export function truncateFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.ftruncate(fd, 0, (error) => (error ? reject(error) : resolve()));
  });
}

export function isCode(error: unknown, ...codes: string[]): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code !== undefined && codes.includes(code);
}
