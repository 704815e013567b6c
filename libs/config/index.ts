export { describe } from './describe.js';
export { FLAGS, type Flag, flagDescription } from './flags.js';
export { MOST_USERS_FILE, parseHtpasswd } from './htpasswd.js';
export { jsonSchema } from './keys.js';
export { type Loaded, type LoadOptions, load } from './load.js';
export { maskSecrets } from './mask.js';
export { ConfigError, formatProblem, type Problem } from './problems.js';
export { type Config, ROLES, type Role } from './schema.js';
export { parseDuration, parseSize, type Size } from './values.js';
