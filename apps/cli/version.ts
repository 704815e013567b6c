import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Version {
  readonly version: string;
  /** `gitHead` of package.json, which a build may set. */
  readonly commit?: string;
}

/** From package.json, which is some directories above both the sources and the build. */
export function readVersion(): Version {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory)
    directory = dirname(directory);
  const { version, gitHead } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    version: string;
    gitHead?: string;
  };
  return { version, ...(gitHead ? { commit: gitHead } : {}) };
}
