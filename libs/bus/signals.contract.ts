import { Journal } from './harness.contract.js';
import type { Bus } from './port.js';

/** `connect` gives the bus of one more process of the same installation. */
export function signalContract(given: () => { bus: Bus; connect: () => Promise<Bus> }): void {
  const finished = (key: string) => ({ v: 1, key });

  it('are heard by every subscriber of every process, the sender included, in order', async () => {
    const { bus, connect } = given();
    const others = [await connect(), await connect()];
    const journals = [bus, bus, ...others].map((each) => {
      const journal = new Journal<string>();
      each.onSignal('pull.finished', ({ key }) => journal.add(key));
      return journal;
    });
    for (let n = 0; n < 100; n++) bus.signal('pull.finished', finished(`${n}`));
    await Promise.all(journals.map((journal) => journal.reached(100)));
    const keys = Array.from({ length: 100 }, (_, n) => `${n}`);
    for (const journal of journals) expect(journal.entries).toEqual(keys);
  });

  it('carry their payload and reach only those who asked for that name', async () => {
    const { bus } = given();
    const seen = new Journal<unknown>();
    bus.onSignal('tag.moved', (payload) => seen.add(payload));
    bus.onSignal('pull.started', (payload) => seen.add(payload));
    const started = { v: 1, key: 'k', relay: { url: 'http://p:1', transfer: 't', token: 's' }, size: 7 };
    bus.signal('pull.finished', finished('k'));
    bus.signal('pull.started', started);
    await seen.reached(1);
    expect(seen.entries).toEqual([started]);
  });

  it('go on after a handler threw, and stop for one that has left', async () => {
    const { bus } = given();
    const [heard, left] = [new Journal<string>(), new Journal<string>()];
    bus.onSignal('pull.finished', () => {
      throw new Error('on purpose');
    });
    const leave = bus.onSignal('pull.finished', ({ key }) => left.add(key));
    bus.onSignal('pull.finished', ({ key }) => heard.add(key));
    bus.signal('pull.finished', finished('1'));
    await heard.reached(1);
    leave();
    leave();
    bus.signal('pull.finished', finished('2'));
    await heard.reached(2);
    expect(heard.entries).toEqual(['1', '2']);
    expect(left.entries).toEqual(['1']);
  });

  it('are not heard by a handler that was added because of them', async () => {
    const { bus } = given();
    const late = new Journal<string>();
    bus.onSignal('pull.finished', ({ key }) => {
      if (key === '1') bus.onSignal('pull.finished', (payload) => late.add(payload.key));
    });
    bus.signal('pull.finished', finished('1'));
    bus.signal('pull.finished', finished('2'));
    await late.reached(1);
    expect(late.entries).toEqual(['2']);
  });
}
