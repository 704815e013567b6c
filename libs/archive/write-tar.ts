import { Readable } from 'node:stream';
import { pack } from 'tar-stream';

/** A member to be written; `body` gives exactly `size` bytes. */
export interface TarMember {
  readonly path: string;
  readonly size: number;
  readonly body: AsyncIterable<Buffer>;
}

/** A tar of regular files whose headers hold nothing but path and size, so that equal members give equal bytes. */
export function tarStream(members: AsyncIterable<TarMember>): Readable {
  const archive = pack();
  const write = async () => {
    for await (const { path, size, body } of members) {
      const header = { name: path, size, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 } as const;
      const entry = archive.entry(header);
      // A reader that leaves destroys the pack and its entry; nothing waits for room then.
      for await (const chunk of body) {
        if (entry.destroyed) return;
        if (!entry.write(chunk)) await room(entry);
      }
      await new Promise<void>((resolve, reject) => {
        entry.once('close', resolve);
        entry.once('error', reject);
        (entry as unknown as { end(): void }).end();
      });
    }
    archive.finalize();
  };
  write().catch((error: Error) => archive.destroy(error));
  return Readable.from(archive, { objectMode: false });
}

function room(entry: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of ['drain', 'close', 'error']) entry.off(name, done);
      resolve();
    };
    for (const name of ['drain', 'close', 'error']) entry.once(name, done);
  });
}
