import { Failure } from './failure.js';

/** The JSON object that every manifest and list is. Throws Failure UPSTREAM_CONTENT for HTML and anything else. */
export function parseJsonObject(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new Failure('UPSTREAM_CONTENT', 'the upstream registry sent a document that is not JSON', {
      origin: 'upstream',
      cause,
    });
  }
  if (!isObject(value))
    throw new Failure('UPSTREAM_CONTENT', 'the upstream registry sent a document that is no JSON object', {
      origin: 'upstream',
    });
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
