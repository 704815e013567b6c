import { S3Error } from 'minio';

/** Answers of S3 that may be different next time. */
const PASSING = new Set([
  'InternalError',
  'ServiceUnavailable',
  'SlowDown',
  'RequestTimeout',
  'OperationAborted',
  'XMinioServerNotInitialized',
]);

/** Whether S3 answered with one of the codes. minio throws errors, and the bare `<Error>` of a 200. */
export function isCodeOf(error: unknown, ...codes: string[]): boolean {
  return codes.includes(codeOf(error) ?? '');
}

export function isMissing(error: unknown): boolean {
  return isCodeOf(error, 'NoSuchKey', 'NotFound');
}

/** Whether the same call may succeed later: the server said so, or nothing said anything (network, time-out, 5xx). */
export function isTransient(error: unknown): boolean {
  if (error instanceof TypeError) return false;
  const answered = error instanceof S3Error || (error as { Code?: string }).Code !== undefined;
  return !answered || PASSING.has(codeOf(error) ?? '');
}

function codeOf(error: unknown): string | undefined {
  const { code, Code } = error as { code?: string; Code?: string };
  return code ?? Code;
}
