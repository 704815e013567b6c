import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const README = join(__dirname, '../../../README.md');

/** What the README gives as the content of `file`, so that its examples are tried; `gateway` is `host:port`. */
export function exampleOf(file: string, gateway: string): string {
  const behind = readFileSync(README, 'utf8').split(`\`${file}\``)[1] ?? '';
  const found = /^```\w+\n(.*?)^```$/ms.exec(behind)?.[1];
  if (!found?.includes('cache.example:8080')) throw new Error(`the README has no example of ${file}`);
  return found.replaceAll('cache.example:8080', gateway);
}
