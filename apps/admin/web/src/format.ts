const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(count: number): string {
  const power = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

export function number(count: number): string {
  return count.toLocaleString('en');
}

export function percent(ratio: number | null): string {
  return ratio === null ? '–' : `${(ratio * 100).toFixed(1)} %`;
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function ago(time: string): string {
  const ms = Date.now() - Date.parse(time);
  return ms < 2000 ? 'now' : `${duration(ms)} ago`;
}

/** `sha256:0123456789ab` */
export function short(reference: string): string {
  return reference.replace(/((?:sha256|sha512):[0-9a-f]{12})[0-9a-f]+/g, '$1');
}
