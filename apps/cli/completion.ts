import { Argument, type Command, type Option } from 'commander';
import type { Surroundings } from './serve.js';

interface Flag {
  /** `--platform`, `-o`. */
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined for a switch; empty: anything, of which file names are the most likely. */
  readonly values?: readonly string[];
}

/** One command: `''` is the program, `config check` one below another. */
interface Node {
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
  /** What its first argument may be, where only few things are right. */
  readonly words: readonly string[];
}

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** Adds `completion SHELL`, which writes a script made from the commands and flags of the program itself. */
export function addCompletion(program: Command, around: Pick<Surroundings, 'out'>): void {
  program
    .command('completion')
    .description('Write a script with which a shell completes commands and flags')
    .addArgument(new Argument('<shell>', 'of which shell').choices(SHELLS))
    .action((shell: Shell) => {
      const name = program.name();
      const nodes = [...tree(program)];
      around.out({ bash, zsh, fish }[shell](name, nodes));
    });
}

function* tree(command: Command, path = '', inherited: readonly Flag[] = []): Generator<Node> {
  const help = command.createHelp();
  const own = help.visibleOptions(command).map(flagOf);
  // Global flags stand before or after the sub-command; its own of the same name win.
  const taken = new Set([...own.flatMap(({ names }) => names), '--version']);
  const flags = [...own, ...inherited.filter(({ names }) => !names.some((name) => taken.has(name)))];
  const commands = help.visibleCommands(command).map((one) => ({ name: one.name(), description: one.description() }));
  const words = command.registeredArguments[0]?.argChoices ?? [];
  yield { path, commands, flags, words };
  for (const below of help.visibleCommands(command)) {
    // Commander's own `help` has nothing below.
    if (command.commands.includes(below)) yield* tree(below, `${path} ${below.name()}`.trim(), flags);
  }
}

function flagOf(option: Option): Flag {
  const names = [option.long, option.short].filter((name) => name !== undefined) as string[];
  const { description } = option;
  // What may stand alone (`--air-gapped`) does not take the next word for its value.
  return { names, description, ...(option.required ? { values: option.argChoices ?? [] } : {}) };
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const list = (words: readonly string[]) => quoted(words.join(' '));
const indent = (lines: readonly string[]) => lines.map((line) => `    ${line}\n`).join('');
const keyOf = ({ path }: Node) => quoted(path);
const namesOf = (flags: readonly Flag[]) => flags.flatMap(({ names }) => names);

/** `path` and `previous` in shell: how bash and zsh find out where they are. */
function cases(nodes: readonly Node[]) {
  const below = nodes.flatMap(({ path, commands }) =>
    commands.filter(({ name }) => name !== 'help').map(({ name }) => quoted(`${path} ${name}`.trim())),
  );
  const valued = nodes.flatMap(({ path, flags }) =>
    flags.filter(({ values }) => values).flatMap(({ names }) => names.map((name) => quoted(`${path} ${name}`.trim()))),
  );
  return { below: [...new Set(below)].join('|'), valued: [...new Set(valued)].join('|') };
}

function choices(nodes: readonly Node[], complete: (values: readonly string[]) => string): string[] {
  return nodes.flatMap(({ path, flags }) =>
    flags
      .filter(({ values }) => values && values.length > 0)
      .map(({ names, values = [] }) => {
        const keys = names.map((name) => quoted(`${path} ${name}`.trim())).join('|');
        return `${keys}) ${complete(values)}; return ;;`;
      }),
  );
}

function bash(name: string, nodes: readonly Node[]): string {
  const { below, valued } = cases(nodes);
  const reply = (words: readonly string[]) => `COMPREPLY=($(compgen -W ${list(words)} -- "$current"))`;
  const offers = nodes.map(
    (node) =>
      `${keyOf(node)}) flags=${list(namesOf(node.flags))}; words=${list([...node.commands.map((one) => one.name), ...node.words])} ;;`,
  );
  return `# bash completion for ${name}: source <(${name} completion bash)
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' key='' previous='' flags='' words='' at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    key="$path\${path:+ }\${COMP_WORDS[at]}"
    if [[ -n $previous ]]; then previous=''; continue; fi
    case "$key" in
      ${valued}) previous=$key ;;
      ${below}) path=$key ;;
    esac
  done
  case "$previous" in
${indent(choices(nodes, reply))}  esac
  [[ -n $previous ]] && return
  case "$path" in
${indent(offers)}  esac
  if [[ $current == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$current"))
  else COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}
complete -o bashdefault -o default -F _${name} ${name}
`;
}

function zsh(name: string, nodes: readonly Node[]): string {
  const { below, valued } = cases(nodes);
  const described = (items: readonly { readonly name: string; readonly description: string }[]) =>
    items.map((item) => quoted(`${item.name.replaceAll(':', '\\:')}:${item.description}`)).join(' ');
  const offers = nodes.map(
    (node) =>
      `${keyOf(node)}) flags=(${described(node.flags.flatMap(({ names, description }) => names.map((one) => ({ name: one, description }))))}); words_here=(${described([...node.commands, ...node.words.map((word) => ({ name: word, description: '' }))])}) ;;`,
  );
  return `#compdef ${name}
# zsh completion for ${name}: a file _${name} in a directory of $fpath, or: source <(${name} completion zsh)
_${name}() {
  local where='' key='' previous='' at
  local -a flags words_here
  for ((at = 2; at < CURRENT; at++)); do
    key="$where\${where:+ }\${words[at]}"
    if [[ -n $previous ]]; then previous=''; continue; fi
    case "$key" in
      ${valued}) previous=$key ;;
      ${below}) where=$key ;;
    esac
  done
  case "$previous" in
${indent(choices(nodes, (values) => `compadd -- ${values.map(quoted).join(' ')}`))}  esac
  if [[ -n $previous ]]; then _files; return; fi
  case "$where" in
${indent(offers)}  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe -o flag flags
  elif ((\${#words_here})); then _describe command words_here
  else _files; fi
}
if [[ "\${funcstack[1]}" == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function fish(name: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, commands, flags, words }) => {
    const here = `complete -c ${name} -n ${quoted(`__${name}_at ${quoted(path)}`)}`;
    return [
      ...commands.map((one) => `${here} -f -a ${quoted(one.name)} -d ${quoted(one.description)}`),
      ...words.map((word) => `${here} -f -a ${quoted(word)}`),
      ...flags.map(({ names, description, values }) => {
        const spelled = names.map((one) => (one.startsWith('--') ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`));
        const takes = values === undefined ? '' : values.length > 0 ? ` -x -a ${list(values)}` : ' -r';
        return `${here} ${spelled.join(' ')}${takes} -d ${quoted(description)}`;
      }),
    ];
  });
  const { below, valued } = cases(nodes);
  return `# fish completion for ${name}: ${name} completion fish > ~/.config/fish/completions/${name}.fish
function __${name}_at
  set -l path
  set -l skip no
  for word in (commandline -opc)[2..-1]
    if test $skip = yes
      set skip no
      continue
    end
    set -l key (string trim -- "$path $word")
    switch $key
      case ${valued.replaceAll('|', ' ')}
        set skip yes
      case ${below.replaceAll('|', ' ')}
        set path $key
    end
  end
  test "$path" = "$argv[1]"
end
${lines.join('\n')}
`;
}
