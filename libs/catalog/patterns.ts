/**
 * Patterns of references, separated by commas: regular expressions, not anchored, as the Go server has them, or
 * `glob:` with `*` (no slash), `**` (slashes too) and `?` for the whole reference. Gives expressions as PostgreSQL reads
 * them. A comma inside brackets or braces separates nothing.
 */
export function parsePatterns(text: string): string[] {
  const patterns: string[] = [];
  let depth = 0;
  let current = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === '\\') current += char + (text[++i] ?? '');
    else if (char === ',' && depth === 0) {
      patterns.push(current);
      current = '';
    } else {
      if ('[{('.includes(char)) depth++;
      if (']})'.includes(char)) depth = Math.max(0, depth - 1);
      current += char;
    }
  }
  patterns.push(current);
  return patterns
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '')
    .map((pattern) => (pattern.startsWith('glob:') ? globExpression(pattern.slice(5)) : pattern));
}

/** A glob for a whole reference as a regular expression. */
export function globExpression(glob: string): string {
  const body = glob.replace(/\*\*|[*?]|[^*?]/g, (part) => {
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    return /[\w/:@-]/.test(part) ? part : `\\${part}`;
  });
  return `^${body}$`;
}

/** An expression that PostgreSQL cannot read. */
export class InvalidPattern extends Error {
  override readonly name = 'InvalidPattern';
}
