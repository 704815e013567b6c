import { useCallback, useEffect, useState } from 'preact/hooks';
import { call } from './api.js';

export interface Asked<T> {
  readonly data?: T;
  readonly error?: string;
  reload(): void;
}

/** What the API answers to a GET, asked again every `every` ms while the page is looked at. */
export function useApi<T>(path: string | undefined, every?: number): Asked<T> {
  const [state, setState] = useState<{ path?: string; data?: T; error?: string }>({});
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  // `turn` asks again.
  useEffect(() => {
    if (path === undefined) return;
    let left = false;
    call<T>(path).then(
      (data) => left || setState({ path, data }),
      (error: Error) => left || setState((before) => ({ ...before, path, error: error.message })),
    );
    const timer = every && setInterval(() => document.hidden || reload(), every);
    return () => {
      left = true;
      if (timer) clearInterval(timer);
    };
  }, [path, turn, every, reload]);
  return { ...(state.path === path ? { data: state.data, error: state.error } : {}), reload };
}
