export interface TarEntry {
  readonly name: string;
  readonly bytes: Buffer;
  /** Octal permissions. Default 0644. */
  readonly mode?: number;
}

const RECORD = 512;

/** An uncompressed ustar archive of regular files; all times are zero, so that equal entries give equal bytes. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    parts.push(header(entry), entry.bytes, Buffer.alloc((RECORD - (entry.bytes.length % RECORD)) % RECORD));
  }
  parts.push(Buffer.alloc(2 * RECORD));
  return Buffer.concat(parts);
}

function header({ name, bytes, mode = 0o644 }: TarEntry): Buffer {
  const block = Buffer.alloc(RECORD);
  block.write(name, 0, 100);
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes.length, 124, 12);
  octal(0, 136, 12);
  block.fill(0x20, 148, 156);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
