import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Config, FLAGS, load } from '#config';
import { parsePlatform } from '#oci';
import type { AdminApi } from './api.js';
import { addCare } from './care-commands.js';
import { flagsOf, optionOf, patternOption } from './flags.js';
import { type OutputFormat, outputOption } from './output.js';
import type { Surroundings } from './serve.js';

/* Commands are imported when they run: `version` and `serve` need nothing of theirs. */

/** What every command against a server is told. */
interface ServerFlags {
  readonly server?: string;
  readonly token?: string;
  readonly configFile?: string;
}

type Work<O> = (
  given: { readonly args: readonly string[]; readonly options: O; readonly config: Config },
  api: AdminApi,
  signal: AbortSignal,
) => Promise<number>;

export type Add = <O>(name: string, description: string, startable: boolean, work: Work<O>) => Command;

/** Adds the commands that speak to a server. */
export function addServerCommands(program: Command, around: Surroundings, finish: (code: number) => void): void {
  const add: Add = <O>(name: string, description: string, startable: boolean, work: Work<O>) =>
    program
      .command(name)
      .description(description)
      .option('--server <url>', 'admin URL of the server; by default the one that this configuration starts')
      .option('--token <token>', 'admin token; also OCIREGISTRY_ADMIN_TOKEN')
      .action(async (...call) => {
        const command = call.at(-1) as Command;
        const options = command.optsWithGlobals<O & ServerFlags>();
        const { withServer } = await import('./with-server.js');
        const { config } = load({
          env: around.env,
          file: options.configFile,
          ...flagsOf(options as Record<string, unknown>),
        });
        const where = { server: options.server, token: options.token, config, startable };
        finish(
          await withServer(where, around, (api, signal) => work({ args: command.args, options, config }, api, signal)),
        );
      });

  add<LoadFlags>(
    'load',
    'Load images: references, lists and archives',
    true,
    async ({ args, options, config }, api, signal) => {
      const imageFile = options.imageFile ?? config.imageFile;
      const resolveRef = options.resolveRef ?? (typeof config.resolveRef === 'string' ? config.resolveRef : undefined);
      if (args.length === 0 && !imageFile) {
        around.err('ociregistry: nothing to load; name references, archives or directories, or give --image-file\n');
        return 2;
      }
      const { loadCommand } = await import('./commands/load.js');
      return loadCommand(
        {
          sources: args,
          platforms: platformsOf(options, config),
          ...(imageFile ? { imageFile } : {}),
          ...(resolveRef ? { resolveRef } : {}),
          output: options.output,
        },
        api,
        around,
        signal,
      );
    },
  )
    .argument('[sources...]', 'references, archives (docker save, OCI layout, containerd), directories, or - for stdin')
    .option('--image-file <file>', 'list of references, one a line, or an archive')
    .addOption(platformOption('of an index only this platform, or all; may be repeated'))
    .option('--resolve-ref <reference>', 'the name of the one image in an archive')
    .addOption(optionOf(flag('os')))
    .addOption(optionOf(flag('arch')))
    .addOption(optionOf(flag('pullTimeout')).hideHelp())
    .addOption(outputOption());

  add<ExportFlags>(
    'export',
    'Write cached images to an OCI layout in a tar file',
    true,
    async ({ args, options }, api, signal) => {
      const { exportCommand } = await import('./commands/export.js');
      return exportCommand({ ...options, images: args, platforms: options.platform ?? [] }, api, around, signal);
    },
  )
    .argument('<images...>', 'references')
    .requiredOption('-o, --output <file>', 'file to write')
    .option('--since <bundle>', 'leave out what this bundle and those before it hold')
    .addOption(platformOption('only this platform; may be repeated'));

  add<{ output: OutputFormat }>(
    'status',
    'How a server is, what it holds and what it does',
    false,
    async ({ options }, api, signal) => {
      const { statusCommand } = await import('./commands/status.js');
      return statusCommand(options.output, api, around, signal);
    },
  ).addOption(outputOption());

  add<{ output: OutputFormat }>(
    'explain',
    'What the server would do for a reference and why, without pulling',
    false,
    async ({ args, options }, api, signal) => {
      const { explainCommand } = await import('./commands/explain.js');
      return explainCommand(args[0]!, options.output, api, around, signal);
    },
  )
    .argument('<reference>', 'image, such as docker.io/library/alpine:3')
    .addOption(outputOption());

  add<ListFlags>('list', 'List what is cached', true, async ({ options, config }, api, signal) => {
    const { listCommand } = await import('./commands/list.js');
    const pattern = options.pattern ?? config.listConfig.expr;
    return listCommand(
      {
        header: options.header ?? config.listConfig.header,
        shortDigest: options.shortDigest ?? false,
        format: options.output,
        ...(pattern ? { pattern } : {}),
      },
      api,
      around.out,
      signal,
    );
  })
    .addOption(patternOption())
    .option('--header', 'print the names of the columns')
    .option('--short-digest', 'print only the start of digests')
    .addOption(outputOption());

  addPrune(add, around);
  addCare(add, around);
}

function addPrune(add: Add, around: Surroundings): void {
  add<PruneFlags>('prune', 'Remove images from the cache', true, async ({ options }, api, signal) => {
    const { pruneCommand } = await import('./commands/prune.js');
    const rule = {
      pattern: options.pattern,
      olderThan: options.date,
      unusedFor: options.unusedFor,
      toSize: options.toSize,
      count: options.count,
    };
    return pruneCommand(
      {
        rule: Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)),
        dryRun: options.dryRun ?? false,
        yes: options.yes ?? false,
        all: options.all ?? false,
        output: options.output,
      },
      api,
      around,
      signal,
    );
  })
    .addOption(patternOption())
    .addOption(
      new Option('--date <time>', 'only what was stored before: a time such as 2025-02-28T23:59:59, or an age (30d)'),
    )
    .addOption(new Option('--unused-for <age>', 'only what was not served since: an age such as 30d, or a time'))
    .addOption(new Option('--to-size <size>', 'the least recently used, until no more than this is left (100GiB)'))
    .addOption(
      new Option('--count <images>', 'at most so many, the least recently used first').argParser((value) => {
        if (!/^[1-9]\d{0,9}$/.test(value)) throw new InvalidArgumentError('Expected a number of images.');
        return Number(value);
      }),
    )
    .option('--dry-run', 'only show what would go')
    .option('-y, --yes', 'do not ask')
    .option('--all', 'also when that leaves nothing')
    .addOption(outputOption());
}

interface PruneFlags {
  readonly pattern?: string;
  readonly date?: string;
  readonly unusedFor?: string;
  readonly toSize?: string;
  readonly count?: number;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly all?: boolean;
  readonly output: OutputFormat;
}

interface ListFlags {
  readonly pattern?: string;
  readonly header?: boolean;
  readonly shortDigest?: boolean;
  readonly output: OutputFormat;
}

interface LoadFlags {
  readonly imageFile?: string;
  readonly platform?: readonly string[];
  readonly resolveRef?: string;
  readonly output: OutputFormat;
  readonly os?: string;
  readonly arch?: string;
}

interface ExportFlags {
  readonly output: string;
  readonly since?: string;
  readonly platform?: readonly string[];
}

/** `--os` and `--arch` are the Go server's way; without any the server takes its own. */
function platformsOf({ platform, os, arch }: LoadFlags, config: Config): readonly string[] {
  if (platform) return platform;
  return os === undefined && arch === undefined ? [] : [`${config.os}/${config.arch}`];
}

function platformOption(description: string): Option {
  return new Option('--platform <os/arch>', description).argParser<readonly string[]>((value, before) => {
    const names = value.split(',').map((name) => name.trim());
    for (const name of names)
      if (name !== 'all' && !parsePlatform(name))
        throw new InvalidArgumentError('Expected os/architecture, such as linux/amd64, or all.');
    return [...(before ?? []), ...names];
  });
}

function flag(key: string) {
  return FLAGS.find((candidate) => candidate.key === key)!;
}
