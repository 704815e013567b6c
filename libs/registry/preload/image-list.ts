import { Failure, formatReference, formatRepository, parseReference, type Reference, type Repository } from '#oci';

/** One entry of a list of images: a reference, all tags of a repository that match, or why it is none. */
export type ListedImage =
  | { readonly text: string; readonly line: number; readonly reference: Reference }
  | { readonly text: string; readonly line: number; readonly repository: Repository; readonly tags: string }
  | { readonly text: string; readonly line: number; readonly problem: string };

/** A name without tag and digest, and a tag with a wildcard. */
const GLOB = /^([^@]+):((?=[^/]*[*?])[\w.*?-]{1,128})$/;

/** Longest line that is looked at; no reference is near that long. */
const MAX_LINE = 4096;

/**
 * Reads a list of images as the Go server writes it: one reference a line, `#` starts a comment; also several on a line,
 * separated by commas. A tag may be a glob (`*`, `?`). A line that is no reference stands in the result as a problem, so that the others can be loaded.
 * The same reference twice is one entry.
 */
export function parseImageList(text: string, defaultHost?: string): ListedImage[] {
  const found = new Map<string, ListedImage>();
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const line = index + 1;
    if (raw.length > MAX_LINE) {
      found.set(`line ${line}`, { text: `${raw.slice(0, 60)}...`, line, problem: 'the line is too long' });
      continue;
    }
    // A '#' stands in no reference, so a comment may follow one.
    for (const part of raw.replace(/#.*$/, '').split(',')) {
      const entry = part.trim();
      if (entry === '') continue;
      const listed = read(entry, line, defaultHost);
      const key = keyOf(listed);
      if (!found.has(key)) found.set(key, listed);
    }
  }
  return [...found.values()];
}

function read(text: string, line: number, defaultHost: string | undefined): ListedImage {
  try {
    const [, name, tags] = GLOB.exec(text) ?? [];
    if (name !== undefined && tags !== undefined)
      return { text, line, repository: parseReference(name, defaultHost || undefined).repository, tags };
    return { text, line, reference: parseReference(text, defaultHost || undefined) };
  } catch (error) {
    return { text, line, problem: Failure.of(error).message };
  }
}

function keyOf(listed: ListedImage): string {
  if ('reference' in listed) return formatReference(listed.reference);
  if ('tags' in listed) return `${formatRepository(listed.repository)}:${listed.tags}`;
  return `line ${listed.line} ${listed.text}`;
}

/** Whether a tag matches a glob of a list. */
export function matchesGlob(tag: string, glob: string): boolean {
  const escaped = glob.replace(/[.-]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(tag);
}
