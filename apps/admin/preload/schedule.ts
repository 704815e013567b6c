import { Cron } from 'croner';
import { parseDuration } from '#config';

/**
 * Runs `work` by `schedule`: an interval (`24h`; the first run after one) or five cron fields in local time. A run that is
 * still going on when the next is due takes its place. Returns what ends the schedule.
 */
export function onSchedule(schedule: string, work: () => Promise<void>): () => void {
  let running = false;
  const once = async () => {
    if (running) return;
    running = true;
    await work().finally(() => {
      running = false;
    });
  };
  const every = parseDuration(schedule);
  if (every === undefined) {
    const cron = new Cron(schedule, { unref: true }, once);
    return () => cron.stop();
  }
  // setInterval knows no more than 24.8 days.
  let due = Date.now() + every;
  const timer = setInterval(
    () => {
      if (Date.now() < due) return;
      due = Date.now() + every;
      void once();
    },
    Math.min(Math.max(every, 10), 60_000),
  );
  timer.unref();
  return () => clearInterval(timer);
}
