import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

/** Paths of PEM files: our chain and its key, and who signs the other side's certificates (default: the system's authorities). */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Milliseconds between looks at the files. Polled, since mounted secrets are swapped by links that no watch follows. */
const LOOK_MS = 5_000;

/** Throws Error when a file cannot be read. */
export function readCertificates({ cert, key, ca }: CertificateFiles): SecureContextOptions {
  const read = (path: string) => readFileSync(path, 'utf8');
  return { cert: read(cert), key: read(key), ...(ca === undefined ? {} : { ca: read(ca) }) };
}

/**
 * Calls `use` with what the files hold each time one of them has changed and they fit each other; what does not fit (a new
 * certificate whose key has not been written yet) is logged and the old ones stay. Returns the function that ends it.
 */
export function watchCertificates(
  files: CertificateFiles,
  use: (certificates: SecureContextOptions) => void,
  log: Log,
  lookMs = LOOK_MS,
): () => void {
  const paths = [files.cert, files.key, ...(files.ca === undefined ? [] : [files.ca])];
  const reload = () => {
    try {
      const certificates = readCertificates(files);
      createSecureContext(certificates);
      use(certificates);
      log.info({ files: paths }, 'certificates reloaded');
    } catch (error) {
      log.warn({ files: paths, error: String(error) }, 'certificates cannot be used, the old ones stay');
    }
  };
  for (const path of paths) watchFile(path, { interval: lookMs, persistent: false }, reload);
  return () => {
    for (const path of paths) unwatchFile(path, reload);
  };
}
