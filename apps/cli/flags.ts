import { Option } from 'commander';
import { FLAGS, type Flag, flagDescription } from '#config';

export function optionOf(flag: Flag): Option {
  return new Option(flag.syntax, flagDescription(flag));
}

/** Options as commander names them to keys, which have the same names. */
export function flagsOf(options: Readonly<Record<string, unknown>>) {
  const given = FLAGS.filter(({ key }) => options[key] !== undefined);
  return {
    flags: Object.fromEntries(given.map(({ key }) => [key, options[key]])),
    flagNames: Object.fromEntries(given.map(({ key, syntax }) => [key, syntax.split(' ')[0]!])),
  };
}

export function patternOption(): Option {
  return new Option(
    '--pattern <patterns>',
    'only references that match: regular expressions, separated by commas, not anchored, or glob:...',
  );
}
