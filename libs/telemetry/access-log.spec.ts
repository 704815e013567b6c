import { AccessLog, type AccessRules } from './access-log.js';

function logs(rules: Partial<AccessRules>, verbose = false) {
  const lines: Record<string, unknown>[] = [];
  const keep = (level: string) => (fields: object, msg: string) => void lines.push({ level, msg, ...fields });
  const log = { debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
  const access = new AccessLog(log, { hits: 0, misses: 1, failures: 1, slow: 1000, ...rules }, verbose);
  return { access, lines };
}

describe('the access log', () => {
  it('takes the share of each class that the rules say, evenly', async () => {
    const { access } = logs({ hits: 0.25, misses: 1, failures: 0 });
    const chosen = (of: 'hits' | 'misses' | 'failures') => Array.from({ length: 8 }, () => access.choose(of, 1));
    const none = undefined;
    expect(chosen('hits')).toEqual([none, none, none, 'info', none, none, none, 'info']);
    expect(chosen('misses')).toEqual(Array(8).fill('info'));
    expect(chosen('failures')).toEqual(Array(8).fill(none));
    await access.close();
  });

  it('always takes what was slow, and the rest as debug lines where those are wanted', async () => {
    const { access } = logs({ slow: 1000 });
    expect([access.choose('hits', 999), access.choose('hits', 1000)]).toEqual([undefined, 'info']);
    await access.close();
    const { access: verbose } = logs({}, true);
    expect(verbose.choose('hits', 1)).toBe('debug');
    await verbose.close();
  });

  it('writes behind the requests, with the time of each, and everything at the end', async () => {
    const { access, lines } = logs({});
    const before = Date.now();
    for (let n = 0; n < 1000; n++) access.add('info', { n });
    expect(lines).toEqual([]);
    await access.close();
    expect(lines.map(({ n }) => n)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
    expect(lines[0]).toMatchObject({ level: 'info', msg: 'request' });
    expect(Date.parse(lines[0]!.at as string)).toBeGreaterThanOrEqual(before);
  });

  it('drops and counts what is too much', async () => {
    const { access, lines } = logs({});
    for (let n = 0; n < 10_007; n++) access.add('info', { n });
    expect(access.dropped).toBe(7);
    await access.close();
    expect(lines).toHaveLength(10_000);
  });
});
