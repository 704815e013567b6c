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
  // By its name: minio is loaded where there is S3 alone.
  const answered = (error as Error).name === 'S3Error' || (error as { Code?: string }).Code !== undefined;
  return !answered || PASSING.has(codeOf(error) ?? '');
}

/** The error of an answer of S3 that minio did not read. Without a code of S3's own, 5xx and 429 may pass. */
export function answeredError(status: number, body: string): Error & { readonly Code?: string } {
  const code =
    /<Code>([A-Za-z]+)<\/Code>/.exec(body)?.[1] ?? (status >= 500 || status === 429 ? undefined : `HTTP ${status}`);
  return Object.assign(new Error(`S3 answered ${status}`), code === undefined ? {} : { Code: code });
}

function codeOf(error: unknown): string | undefined {
  const { code, Code } = error as { code?: string; Code?: string };
  return code ?? Code;
}
