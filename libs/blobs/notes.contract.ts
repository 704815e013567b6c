import type { Notes } from './notes.js';

/** What every implementation of `Notes` does; `open` gives one on a store of its own. */
export function notesContract(open: () => Promise<Notes>): void {
  let notes: Notes;
  beforeAll(async () => {
    notes = await open();
  });
  afterAll(() => notes?.close());

  async function listed(): Promise<[string, number][]> {
    const found: [string, number][] = [];
    for await (const { name, size } of notes.list()) found.push([name, size]);
    return found.sort();
  }

  it('keeps what it is given, under names with directories', async () => {
    expect(await listed()).toEqual([]);
    await notes.put('a/1.gz', Buffer.from('one'));
    await notes.put('a/2.gz', Buffer.alloc(0));
    await notes.put('b', Buffer.alloc(3_000_000, 7));
    expect((await notes.get('a/1.gz'))?.toString()).toBe('one');
    expect((await notes.get('a/2.gz'))?.length).toBe(0);
    expect((await notes.get('b'))?.equals(Buffer.alloc(3_000_000, 7))).toBe(true);
    expect(await listed()).toEqual([
      ['a/1.gz', 3],
      ['a/2.gz', 0],
      ['b', 3_000_000],
    ]);
  });

  it('overwrites and removes', async () => {
    await notes.put('c/x', Buffer.from('old'));
    await notes.put('c/x', Buffer.from('new one'));
    expect((await notes.get('c/x'))?.toString()).toBe('new one');
    await notes.remove('c/x');
    await notes.remove('c/x');
    expect(await notes.get('c/x')).toBeUndefined();
  });

  it.each(['../x', '/x', 'a/../b', '', 'a b', 'a//b', '.'])('refuses the name %j', async (name) => {
    await expect(notes.put(name, Buffer.alloc(1))).rejects.toThrow('is no name');
    await expect(notes.get(name)).rejects.toThrow('is no name');
  });
}
