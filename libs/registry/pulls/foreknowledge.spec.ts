import type { BlobKnowledge } from '#catalog';
import { digestOf } from '#oci';
import { Foreknowledge } from './foreknowledge.js';

const repository = { upstream: 'u.example', path: 'p' };
const digest = digestOf(Buffer.from('blob'));

function asked(answer: () => Promise<BlobKnowledge>) {
  let questions = 0;
  const known = new Foreknowledge({
    knowBlob: () => {
      questions++;
      return answer();
    },
  });
  known.ask(repository, digest);
  return { known, questions: () => questions };
}

describe('Foreknowledge', () => {
  it('gives an answer once', async () => {
    const { known, questions } = asked(async () => ({ described: 5 }));
    expect(await known.take(repository, digest)).toEqual({ described: 5 });
    expect(await known.take(repository, digest)).toBeUndefined();
    expect(questions()).toBe(1);
  });

  it('knows of nobody else', async () => {
    const { known } = asked(async () => ({}));
    expect(await known.take({ ...repository, path: 'q' }, digest)).toBeUndefined();
  });

  it.each([{ held: 5 }, { stored: 5, described: 5 }])(
    'does not believe in what may be pruned since (%j)',
    async (is) => {
      const { known } = asked(async () => is);
      expect(await known.take(repository, digest)).toBeUndefined();
    },
  );

  it('is silent about a catalog that did not answer', async () => {
    const { known } = asked(async () => {
      throw new Error('away');
    });
    expect(await known.take(repository, digest)).toBeUndefined();
  });
});
