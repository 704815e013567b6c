import type { VerifyOptions } from './commands/verify.js';
import { patternOption } from './flags.js';
import { type OutputFormat, outputOption } from './output.js';
import type { Surroundings } from './serve.js';
import type { Add } from './server-commands.js';

/** The commands that look after what is stored. */
export function addCare(add: Add, around: Surroundings): void {
  add<Omit<VerifyOptions, 'image'>>(
    'verify',
    'Check stored bytes against their digests',
    true,
    async ({ args: [image], options }, api, signal) => {
      const { pattern, sizesOnly, repair, rate, output } = options;
      const { verifyCommand } = await import('./commands/verify.js');
      return verifyCommand({ image, pattern, sizesOnly, repair, rate, output }, api, around, signal);
    },
  )
    .argument('[image]', 'only this image')
    .addOption(patternOption())
    .option('--sizes-only', 'compare sizes, read no bytes')
    .option('--repair', 'drop what is bad or lost and fetch it anew')
    .option('--rate <size>', 'read at most so much a second, such as 50MB')
    .addOption(outputOption());

  add<{ output: OutputFormat }>(
    'rebuild',
    'Make the catalog anew from the journal beside the blobs',
    true,
    async ({ options }, api, signal) => {
      const { rebuildCommand } = await import('./commands/rebuild.js');
      return rebuildCommand(options.output, api, around, signal);
    },
  ).addOption(outputOption());
}
