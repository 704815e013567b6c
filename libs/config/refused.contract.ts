import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, formatProblem, type LoadOptions, load } from './index.js';

/** A bcrypt hash, as `htpasswd -B` writes it. */
export const BCRYPT = '$2y$05$dUUuXfoxidRfRlGZ4LPA5OoVhVdCsN8yxws17VEw3YdnAezLBPYVG';

/** A directory of one suite, with the file `empty`, and what is wrong with a configuration in it. */
export function configDirectory() {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  const file = join(directory, 'c.yaml');
  writeFileSync(join(directory, 'empty'), '');
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Every problem as people see it, without the directory. */
  function problems(yaml: string | undefined, options: LoadOptions = {}): string[] {
    if (yaml !== undefined) writeFileSync(file, yaml);
    try {
      load({ ...(yaml === undefined ? {} : { file }), ...options });
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map((problem) => formatProblem(problem).replaceAll(`${directory}/`, ''));
    }
  }
  return { directory, file, problems };
}
