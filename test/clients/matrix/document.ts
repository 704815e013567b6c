import { dirname, join } from 'node:path';
import { run } from '../programs.js';
import type { Client } from './client.js';
import { containerdClients } from './containerd-clients.js';
import { copyingClients } from './copying-clients.js';
import { dockerClients } from './dockerd.js';

export const CLIENTS: readonly Client[] = [...containerdClients, ...dockerClients, ...copyingClients];

/** docs/clients.md */
export const DOCUMENT = join(__dirname, '../../../docs/clients.md');

export interface Row {
  readonly client: string;
  readonly version: string;
  readonly addressing: string;
  readonly standalone: string;
  readonly distributed: string;
}

const HEAD = `# Clients

Real clients against both stacks, each with an image of its own from a real registry: pulled cold through one gateway, then through
every gateway while that registry is stopped. "passed" is both, with the digests that were pushed. Where a client reads a file that
the README gives an example of, it was that example. The table is written by \`npm run test:clients\`, which installs what it needs
(Debian packages, Go modules) on Debian 12 as root; crane, skopeo, oras and containerd 1.6 are in every test run too
(\`test/clients\`).

`;

const COLUMNS = ['Client', 'Version', 'Addressed by', 'standalone', 'distributed'];

export function documentOf(rows: readonly Row[]): string {
  const lines = rows.map(({ client, version, addressing, standalone, distributed }) =>
    line([client, version, addressing, standalone, distributed]),
  );
  return `${HEAD}${[line(COLUMNS), line(COLUMNS.map(() => '---')), ...lines].join('\n')}\n\n${NOTES}`;
}

/** The first thing in what a program tells of itself that looks like a version. */
export async function versionOf({ program: name, version }: Client, program: string): Promise<string> {
  const told = await (version === 'package'
    ? run('zcat', join(dirname(program), `../share/doc/${name}/changelog.Debian.gz`))
    : run(program, ...version));
  return /\bv?(\d+\.\d+(?:\.\d+)?)/.exec(told)?.[1] ?? 'unknown';
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

const NOTES = `umoci is not in it: it works on layouts in directories and never talks to a registry.
`;
