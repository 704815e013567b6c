/**
 * Keys that are checked but that nothing reads yet. `load` warns about each that is set. Remove a key when its
 * feature works; a key stands for everything below it.
 */
export const NOT_YET: readonly string[] = [];
