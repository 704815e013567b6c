import type { ListTarget } from '#oci';
import { prefetchReferrers } from './prefetch.js';
import type { Pull } from './running-pull.js';
import type { WorkerPorts } from './worker-ports.js';

/** Asks the upstream for a list and records what it says. A list that is young enough for the event is left as it is. */
export async function pullList(pull: Pull, target: ListTarget, ports: WorkerPorts): Promise<void> {
  const { catalog, upstream } = ports;
  const { repository } = target;
  const { maxAge } = pull.event;
  if (target.kind === 'tags') {
    if (isYoung(await catalog.findTags(repository), maxAge)) return;
    await catalog.storeTagList(repository, await upstream.listTags(repository, pull.call));
  } else {
    if (isYoung(await catalog.findReferrers(repository, target.digest), maxAge)) return;
    const referrers = await upstream.listReferrers(repository, target.digest, pull.call);
    await catalog.storeReferrers(repository, target.digest, referrers);
    if (pull.event.cause === 'prefetch') await prefetchReferrers(pull, repository, referrers, ports);
  }
}

function isYoung({ listed }: { readonly listed?: { readonly age: number } }, maxAge: number | undefined): boolean {
  return listed !== undefined && maxAge !== undefined && listed.age <= maxAge;
}
