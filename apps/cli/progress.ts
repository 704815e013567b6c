import { MultiBar, type SingleBar } from 'cli-progress';
import { bytesText, durationText } from './text.js';

/** How far something long is. On a terminal bars that move, else nothing until a line tells the end. */
export interface Progress {
  /** Whether bars are drawn. */
  readonly live: boolean;
  /** Makes the bar when it is new; a `total` of 0 is one that is not known yet. Bytes, unless `text` says otherwise. */
  show(name: string, done: number, total: number, text?: (amount: number) => string): void;
  /** A line above the bars. */
  line(text: string): void;
  stop(): void;
}

interface Payload {
  readonly name: string;
  readonly done: number;
  readonly total: number;
  readonly since: number;
  readonly text: (amount: number) => string;
}

const MAX_BARS = 8;
const NAME = 40;

export function openProgress(terminal: NodeJS.WriteStream | undefined, err: (text: string) => void): Progress {
  if (!terminal?.isTTY) return { live: false, show: () => {}, line: (text) => err(`${text}\n`), stop: () => {} };
  const bars = new MultiBar({
    stream: terminal,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    forceRedraw: true,
    barsize: 24,
    format: (options, { progress }, payload: Payload) => {
      const filled = Math.round(progress * (options.barsize ?? 24));
      const bar = '#'.repeat(filled).padEnd(options.barsize ?? 24, '-');
      const seconds = Math.max((Date.now() - payload.since) / 1000, 0.001);
      const rate = payload.done / seconds;
      const left =
        payload.total > payload.done && rate > 0 ? durationText(((payload.total - payload.done) / rate) * 1000) : '';
      const name = payload.name.length > NAME ? `...${payload.name.slice(3 - NAME)}` : payload.name.padEnd(NAME);
      const { text } = payload;
      return `${name} [${bar}] ${text(payload.done)}/${text(payload.total)} ${text(rate)}/s ${left}`;
    },
  });
  const shown = new Map<string, { bar: SingleBar; since: number }>();
  return {
    live: true,
    show(name, done, total, text = bytesText) {
      let one = shown.get(name);
      if (!one) {
        if (done >= total && total > 0) return;
        if (shown.size >= MAX_BARS) return;
        const since = Date.now();
        one = { bar: bars.create(Math.max(total, 1), done, { name, done, total, since, text }), since };
        shown.set(name, one);
      }
      one.bar.setTotal(Math.max(total, 1));
      one.bar.update(Math.min(done, Math.max(total, 1)), { name, done, total, since: one.since, text });
      if (total > 0 && done >= total) {
        bars.remove(one.bar);
        shown.delete(name);
      }
    },
    line: (text) => bars.log(`${text}\n`),
    stop: () => bars.stop(),
  };
}
