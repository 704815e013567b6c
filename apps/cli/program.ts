import { Command, CommanderError, Option } from 'commander';
import { ConfigError, FLAGS, formatProblem, jsonSchema, load, ROLES, type Role } from '#config';
import { addCompletion } from './completion.js';
import { flagsOf, optionOf } from './flags.js';
import { type Surroundings, serve } from './serve.js';
import { addServerCommands } from './server-commands.js';
import { readVersion } from './version.js';

/** Exit codes that scripts rely on. */
const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

interface ServeFlags {
  readonly role: Role;
  readonly configFile?: string;
  readonly server?: string;
}

/** Runs a command line (without node and script). Resolves to the exit code; never rejects. */
export async function run(args: readonly string[], around: Surroundings): Promise<number> {
  let code = DONE;
  const program = createProgram(around, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    // Commander has said what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : WRONG_USAGE;
    if (error instanceof ConfigError) {
      around.err(refusal(error));
      return error.exitCode;
    }
    around.err(`ociregistry: ${error instanceof Error ? error.message : String(error)}\n`);
    return FAILED;
  }
}

function createProgram(around: Surroundings, finish: (code: number) => void): Command {
  const { version } = readVersion();
  const program = new Command('ociregistry')
    .description('A pull-only, pull-through, caching OCI Distribution server')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: around.out, writeErr: around.err })
    .option('--config-file <file>', 'YAML file to read; the environment and flags win over it')
    // Of the commands that speak to a server; people write them in front of the command as well.
    .addOption(new Option('--server <url>').hideHelp())
    .addOption(new Option('--token <token>').hideHelp());
  for (const flag of FLAGS.filter(({ global }) => global)) program.addOption(optionOf(flag));

  const serveCommand = program
    .command('serve')
    .description('Run the server')
    .addOption(new Option('--role <role>', 'what this process does').choices([...ROLES]).default('all'))
    .action(async (_options, command: Command) => {
      const { role, configFile, server, ...options } = command.optsWithGlobals<ServeFlags>();
      if (server !== undefined) command.error('error: --server is for commands that speak to a server; this one is it');
      const { config, warnings } = load({ role, env: around.env, file: configFile, ...flagsOf(options) });
      finish(await serve({ config, role, warnings, around }));
    });
  for (const flag of FLAGS.filter(({ global }) => !global)) serveCommand.addOption(optionOf(flag));

  addServerCommands(program, around, finish);

  program
    .command('version')
    .description('Print the version')
    .action(() => {
      const { version: number, commit } = readVersion();
      around.out(`ociregistry ${number}${commit ? ` (${commit})` : ''}, Node.js ${process.version}\n`);
    });

  const config = program.command('config').description('Check or describe the configuration');
  config
    .command('check')
    .description('Print OK, or everything that is wrong with the configuration')
    .option('-f, --file <file>', 'YAML file to check')
    .action((_options, command: Command) => {
      const { file, configFile, ...options } = command.optsWithGlobals<{ file?: string; configFile?: string }>();
      const { warnings } = load({ env: around.env, file: file ?? configFile, ...flagsOf(options) });
      for (const warning of warnings) around.err(`${warning}\n`);
      around.out('OK\n');
    });
  config
    .command('schema')
    .description('Print the JSON schema of the configuration file')
    .action(() => around.out(`${JSON.stringify(jsonSchema(), null, 2)}\n`));

  addCompletion(program, around);
  return program;
}

function refusal({ problems }: ConfigError): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return `ociregistry: the configuration has ${count}:\n${problems.map((problem) => `  ${formatProblem(problem)}\n`).join('')}`;
}
