import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

const HEADERS = {
  'content-security-policy': "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** The web UI at `/`, as `npm run build` made it; it lives on the REST API alone. */
export async function serveUi(app: NestFastifyApplication): Promise<void> {
  const root = join(dirname(fileURLToPath(import.meta.url)), 'web');
  // Run from the sources there is none.
  if (!existsSync(join(root, 'assets'))) return;
  await app.register(import('@fastify/static'), {
    root,
    decorateReply: false,
    cacheControl: false,
    setHeaders(res, path) {
      for (const [name, value] of Object.entries(HEADERS)) res.header(name, value);
      // Vite puts a hash of the content into the names below assets/.
      res.header('cache-control', path.includes('/assets/') ? 'max-age=31536000, immutable' : 'no-cache');
    },
  });
}
