import type { Repository } from '#oci';
import type { BlobBody, Upstream } from '#upstream';
import type { Kind, Traffic } from './traffic.js';

/** The same client, with its requests and the bytes of its answers counted. */
export function meterUpstream(upstream: Upstream, traffic: Traffic): Upstream {
  const ask = (repository: Repository, kind: Kind) => {
    const counters = traffic.of(repository.upstream, kind);
    counters.upstreamRequests++;
    return counters;
  };
  return {
    async headManifest(repository, ...rest) {
      const counters = ask(repository, 'manifest');
      const head = await upstream.headManifest(repository, ...rest);
      counters.bytesFetched += head.bytes?.length ?? 0;
      return head;
    },
    async getManifest(repository, ...rest) {
      const counters = ask(repository, 'manifest');
      const fetched = await upstream.getManifest(repository, ...rest);
      counters.bytesFetched += fetched.bytes.length;
      return fetched;
    },
    headBlob(repository, ...rest) {
      ask(repository, 'blob');
      return upstream.headBlob(repository, ...rest);
    },
    async getBlob(repository, ...rest) {
      const counters = ask(repository, 'blob');
      const blob = await upstream.getBlob(repository, ...rest);
      return { ...blob, body: counted(blob, counters), abort: () => blob.abort() };
    },
    listTags(repository, ...rest) {
      ask(repository, 'list');
      return upstream.listTags(repository, ...rest);
    },
    listReferrers(repository, ...rest) {
      ask(repository, 'list');
      return upstream.listReferrers(repository, ...rest);
    },
    allows: (host) => upstream.allows(host),
    states: () => upstream.states(),
    backgroundWait: (host) => upstream.backgroundWait(host),
    rest: (host, pause) => upstream.rest(host, pause),
    close: () => upstream.close(),
  };
}

async function* counted({ body }: BlobBody, counters: { bytesFetched: number }): AsyncGenerator<Buffer> {
  for await (const chunk of body) {
    counters.bytesFetched += chunk.length;
    yield chunk;
  }
}
