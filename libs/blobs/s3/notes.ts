import { checkNoteName, type Notes } from '../notes.js';
import { S3Connection } from './connection.js';
import type { S3DriverOptions } from './driver.js';
import { isMissing } from './errors.js';

/** Notes as objects, `<prefix>/journal/<name>`. */
export class S3Notes implements Notes {
  private readonly connection: S3Connection;
  private readonly prefix: string;
  private readonly bucket: string;

  constructor(options: S3DriverOptions) {
    this.connection = new S3Connection(options);
    this.bucket = options.bucket;
    const prefix = options.prefix.replace(/^\/+|\/+$/g, '');
    this.prefix = `${prefix === '' ? '' : `${prefix}/`}journal/`;
  }

  async put(name: string, bytes: Buffer): Promise<void> {
    await this.connection.call((client) => client.putObject(this.bucket, this.key(name), bytes));
  }

  async get(name: string): Promise<Buffer | undefined> {
    try {
      return await this.connection.call(async (client) => {
        const chunks: Buffer[] = [];
        for await (const chunk of await client.getObject(this.bucket, this.key(name))) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks);
      });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    await this.connection.call((client) => client.removeObject(this.bucket, this.key(name)));
  }

  async *list(): AsyncIterable<{ name: string; size: number }> {
    let token = '';
    do {
      const page = await this.connection.call((client) =>
        client.listObjectsV2Query(this.bucket, this.prefix, token, '', 1000, ''),
      );
      for (const { name = '', size } of page.objects) yield { name: name.slice(this.prefix.length), size };
      token = page.isTruncated ? page.nextContinuationToken : '';
    } while (token !== '');
  }

  close(): void {
    this.connection.close();
  }

  private key(name: string): string {
    return this.prefix + checkNoteName(name);
  }
}
