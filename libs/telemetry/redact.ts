const SECRET_NAMES = [
  'authorization',
  'proxy-authorization',
  'www-authenticate',
  'cookie',
  'set-cookie',
  'password',
  'passwd',
  'secret',
  'token',
  'access_token',
  'accessToken',
  'refresh_token',
  'refreshToken',
  'identityToken',
  'identitytoken',
  'secretKey',
  'secretAccessKey',
  'accessKey',
  'static',
].join('|');

const REDACTED = '***';
const TEXT = String.raw`(?:[^"\\]|\\.)*`;

/** `"password":"..."`, a list of texts or a scalar below such a name, at any depth. */
const MEMBERS = new RegExp(String.raw`"(${SECRET_NAMES})":(?:"${TEXT}"|\[(?:"${TEXT}",?)*\]|[^",{}[\]]+)`, 'gi');
/** JSON inside a text, such as an upstream's answer in an error message: every quote and backslash is escaped once more. */
const NESTED_TEXT = String.raw`(?:[^"\\]|\\\\(?:\\\\|\\"|[^"\\]))*`;
const NESTED = new RegExp(String.raw`\\"(${SECRET_NAMES})\\":\s*\\"${NESTED_TEXT}\\"`, 'gi');
/** `https://user:password@host`. */
const USER_INFO = /(:\/\/)[^\s"/@]+@/g;
/** Parameters of presigned URLs and of token requests. */
const PARAMETERS =
  /([?&](?:password|token|access_token|refresh_token|sig|signature|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential))=)[^&\s"\\]+/gi;
/** `Bearer ...` and `Basic ...` in running text. */
const SCHEMES = /\b(Bearer|Basic) +[A-Za-z0-9+/=._~-]{8,}/g;

/** One line of log without what must not be in a log. Takes and gives a line of JSON. */
export function redactLine(line: string): string {
  return line
    .replace(MEMBERS, `"$1":"${REDACTED}"`)
    .replace(NESTED, String.raw`\"$1\":\"${REDACTED}\"`)
    .replace(USER_INFO, `$1${REDACTED}@`)
    .replace(PARAMETERS, `$1${REDACTED}`)
    .replace(SCHEMES, `$1 ${REDACTED}`);
}
