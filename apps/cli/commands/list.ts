import type { z } from 'zod';
import type { Image } from '../../admin/api/models.js';
import type { AdminApi } from '../api.js';
import { type Column, type OutputFormat, printList } from '../output.js';
import { bytesText, timeText } from '../text.js';

export interface ListOptions {
  /** As the admin API takes it. */
  readonly pattern?: string;
  readonly header: boolean;
  readonly shortDigest: boolean;
  readonly format: OutputFormat;
}

type Row = z.output<typeof Image>;

const SHORT = 12;

/** What is cached, in the order of its names. */
export async function listCommand(
  { pattern, header, shortDigest, format }: ListOptions,
  api: AdminApi,
  out: (text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const columns: Column<Row>[] = [
    { header: 'REFERENCE', value: ({ reference }) => reference },
    { header: 'DIGEST', value: ({ digest }) => (shortDigest ? shortened(digest) : digest) },
    { header: 'SIZE', value: ({ size }) => bytesText(size), align: 'right' },
    { header: 'LAST ACCESS', value: ({ lastAccess }) => timeText(lastAccess) },
    { header: 'STORED', value: ({ storedAt }) => timeText(storedAt), wide: true },
    { header: 'PLATFORMS', value: ({ platforms }) => platforms.join(',') || '-', wide: true },
    { header: 'TYPE', value: ({ artifactType, mediaType }) => artifactType ?? mediaType, wide: true },
  ];
  await printList(api.items<Row>('/images', { pattern }, signal), columns, { format, header }, out);
  return 0;
}

function shortened(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, SHORT);
}
