import { FLAGS } from './flags.js';
import { KEYS, type Key } from './keys.js';

/** The table of all keys, in Markdown. */
export function describe(): string {
  const flags = new Map(FLAGS.map((flag) => [flag.key, flag.syntax.split(' ')[0]!]));
  const rows = [...KEYS.values()]
    .filter((key) => !/From(Env|File)$/.test(key.path))
    .map((key) => row(key, flags.get(key.path)));
  return ['| Key | Default | Meaning | Variable, flag |', '|---|---|---|---|', ...rows].join('\n');
}

function row(key: Key, flag: string | undefined): string {
  const meaning = [
    key.description,
    key.words ? `One of ${key.words.map((word) => `\`${word}\``).join(', ')}.` : '',
    key.required ? 'Required.' : '',
    key.secret && KEYS.has(`${key.path}FromEnv`) ? 'Secret; also `...FromEnv`, `...FromFile`.' : '',
  ];
  const names = [key.variable, flag].filter((name) => name !== undefined).map((name) => `\`${name}\``);
  return `| \`${key.path}\` | ${key.defaultText ?? ''} | ${meaning.filter(Boolean).join(' ').replaceAll('|', '\\|')} | ${names.join(', ')} |`;
}
