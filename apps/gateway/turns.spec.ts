import { Turns } from './turns.js';

const KiB = 1024;

/** What three streams of so many bytes each were given, in KiB; `-` where the event loop went round. */
async function streams(turns: Turns, bytes: number): Promise<string> {
  const seen: string[] = [];
  const stream = async (name: string) => {
    for (let left = bytes; left > 0; ) {
      const given = await turns.next(left);
      seen.push(`${name}${given / KiB} `);
      left -= given;
    }
  };
  let going = true;
  const loop = () => {
    seen.push('-');
    if (going) setImmediate(loop);
  };
  setImmediate(loop);
  await Promise.all([stream('a'), stream('b'), stream('c')]);
  going = false;
  return seen
    .join('')
    .replace(/-+/g, '- ')
    .replace(/^- |( -)? +$/g, '');
}

describe('Turns', () => {
  it('gives a read buffer at a time while nobody asks for anything else, and lets the loop go round in between', async () => {
    const alone = new Turns(() => 0);
    expect(await streams(alone, 2048 * KiB)).toBe('a1024 - b1024 - c1024 - a1024 - b1024 - c1024');
  });

  it('gives small slices while others are answered', async () => {
    let answered = 0;
    const busy = new Turns(() => ++answered);
    expect(await streams(busy, 256 * KiB)).toBe('a128 - b128 - c128 - a128 - b128 - c128');
  });

  it('makes way for whatever is answered, but for large blobs', async () => {
    let answered = 0;
    const turns = new Turns(() => answered);
    answered++;
    turns.ended(2048 * KiB);
    expect(await turns.next(1024 * KiB)).toBe(1024 * KiB);
    answered++;
    turns.ended(64 * KiB);
    expect(await turns.next(1024 * KiB)).toBe(128 * KiB);
  });

  it('lets small ends share a turn', async () => {
    const alone = new Turns(() => 0);
    expect(await streams(alone, 400 * KiB)).toBe('a400 b400 - c400');
  });
});
