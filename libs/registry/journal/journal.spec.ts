import type { Notes } from '#blobs';
import type { Catalog } from '#catalog';
import type { Digest } from '#oci';
import { decodeFacts, type Fact } from './facts.js';
import { Journal, journaled } from './journal.js';

const repository = { upstream: 'docker.io', path: 'library/alpine' };
const digestOf = (n: number) => `sha256:${String(n).padStart(64, '0')}` as Digest;
const log = { debug() {}, info() {}, warn: jest.fn(), error() {} };
const HOUR = 3_600_000;

class MemoryNotes implements Notes {
  readonly kept = new Map<string, Buffer>();
  failing = false;
  async put(name: string, bytes: Buffer) {
    if (this.failing) throw new Error('the store is away');
    this.kept.set(name, bytes);
  }
  async get(name: string) {
    return this.kept.get(name);
  }
  async remove(name: string) {
    this.kept.delete(name);
  }
  async *list() {
    for (const [name, { length }] of this.kept) yield { name, size: length };
  }
  close() {}
}

async function read(notes: MemoryNotes): Promise<Fact[]> {
  const segments = [...notes.kept].sort(([a], [b]) => (a < b ? -1 : 1));
  return (await Promise.all(segments.map(([, bytes]) => decodeFacts(bytes)))).flat();
}

function start() {
  const notes = new MemoryNotes();
  return { notes, journal: new Journal(notes, async () => 'mine', log, HOUR) };
}

describe('the journal', () => {
  afterEach(() => log.warn.mockClear());

  it('writes what came together, at the end at the latest', async () => {
    const { notes, journal } = start();
    journal.note({ kind: 'blob', repository, digest: digestOf(1) });
    journal.noteTag(repository, 'latest', digestOf(2));
    // That it is confirmed is no news; that it moves is.
    journal.noteTag(repository, 'latest', digestOf(2));
    await journal.flush();
    journal.noteTag(repository, 'latest', digestOf(3));
    journal.noteNoTag(repository, 'latest');
    journal.noteTag(repository, 'latest', digestOf(3));
    await journal.close();
    expect([...notes.kept.keys()].every((name) => /^mine\/\d{8}T\d{9}Z-\w+-\d+\.gz$/.test(name))).toBe(true);
    expect((await read(notes)).map(({ kind }) => kind)).toEqual(['blob', 'tag', 'tag', 'untag', 'tag']);
  });

  it('writes nothing when there is nothing', async () => {
    const { notes, journal } = start();
    await journal.close();
    expect(notes.kept.size).toBe(0);
  });

  it('keeps facts while the store is away, within bounds', async () => {
    const { notes, journal } = start();
    notes.failing = true;
    journal.note({ kind: 'blob', repository, digest: digestOf(1) });
    await journal.flush();
    const bytes = Buffer.alloc(3_000_000);
    for (let n = 0; n < 40; n++) {
      journal.note({ kind: 'manifest', repository, manifest: { digest: digestOf(n), mediaType: 'a/b', bytes } });
      await journal.flush();
    }
    await journal.flush();
    expect(log.warn).toHaveBeenCalledTimes(1);
    notes.failing = false;
    await journal.close();
    const facts = await read(notes);
    expect(facts[0]).toEqual({ kind: 'blob', repository, digest: digestOf(1) });
    expect(facts.length).toBeLessThan(20);
    expect(facts.length).toBeGreaterThan(10);
  });

  it('hears of what the catalog was told, once it knows it', async () => {
    const { notes, journal } = start();
    const calls: string[] = [];
    class Real {
      private readonly secret = 'yes';
      async storeBlob() {
        calls.push('storeBlob');
      }
      async storeManifest() {
        throw new Error('the database is away');
      }
      async confirmTag() {
        return false;
      }
      async findTag() {
        return this.secret;
      }
    }
    const catalog = journaled(new Real() as unknown as Catalog, journal);
    await catalog.storeBlob(repository, digestOf(1), 10);
    await catalog.confirmTag(repository, 'latest', digestOf(2));
    await expect(catalog.storeManifest(repository, {} as never)).rejects.toThrow('away');
    expect(await catalog.findTag(repository, 'latest')).toBe('yes');
    await journal.close();
    expect(calls).toEqual(['storeBlob']);
    expect(await read(notes)).toEqual([{ kind: 'blob', repository, digest: digestOf(1) }]);
  });
});
