import { z } from 'zod';
import { Failure, parseReference, type Reference } from '#oci';

/** Whose webhooks are understood. */
export const HOOK_SOURCES = ['docker', 'github', 'harbor', 'quay', 'cloudevents'] as const;
export type HookSource = (typeof HOOK_SOURCES)[number];

export interface HookMessage {
  readonly body: unknown;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Registry of payloads that name none, or name it otherwise than we do. */
  readonly registry?: string;
}

/** Tags that a message is about: they were pushed. Those without a tag, and what is no push, are not among them. */
export type Pushed = readonly string[];

/** The payload is not one of this source; the message says where. */
export class UnknownPayload extends Error {}

const MOST_TAGS = 100;
const name = z.string().min(1).max(300);
const tag = z.string().min(1).max(128);

/** https://docs.docker.com/docker-hub/repos/manage/webhooks/ */
const DockerHub = z.object({
  push_data: z.object({ tag }),
  repository: z.object({ repo_name: name }),
});

/** https://distribution.github.io/distribution/about/notifications/ : what a registry of one's own sends. */
const DistributionEvent = z.object({
  action: z.string(),
  target: z.object({ repository: name.optional(), tag: tag.optional() }),
  request: z.object({ host: name.optional() }).optional(),
});
const Distribution = z.object({ events: z.array(DistributionEvent).min(1).max(MOST_TAGS) });

/** https://docs.github.com/webhooks/webhook-events-and-payloads#registry_package, and `package`, which is built alike. */
const GitHubPackage = z.object({
  name,
  namespace: z.string().optional(),
  package_type: z.string(),
  owner: z.object({ login: name }).optional(),
  package_version: z
    .object({
      package_url: z.string().optional(),
      container_metadata: z.object({ tag: z.object({ name: z.string().optional() }).optional() }).nullish(),
    })
    .nullish(),
});
const GitHub = z.union([
  z.object({ registry_package: GitHubPackage }).transform(({ registry_package: pack }) => pack),
  z.object({ package: GitHubPackage }).transform(({ package: pack }) => pack),
]);

/** https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/ */
const HarborData = z.object({
  resources: z
    .array(z.object({ tag: z.string().optional(), resource_url: name }))
    .min(1)
    .max(MOST_TAGS),
  repository: z.object({ repo_full_name: name }).optional(),
});
const Harbor = z.object({ type: z.string(), event_data: HarborData });

/** https://docs.quay.io/guides/notifications.html#repository-push */
const Quay = z.object({
  docker_url: name,
  updated_tags: z.union([z.array(tag).max(MOST_TAGS), z.record(z.string(), z.unknown()).transform(Object.keys)]),
});

/** https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md */
const CloudEvent = z.object({ specversion: z.string(), type: name, data: z.unknown() });
/** Data of registries that send CloudEvents: Harbor, those that speak of targets as distribution does, and `{image}`. */
const EventData = z.union([
  HarborData.transform(harborTags),
  z
    .object({ target: DistributionEvent.shape.target, request: DistributionEvent.shape.request })
    .transform((event) => distributionTags({ action: 'push', ...event })),
  z.object({ image: name }).transform(({ image }) => [image]),
]);

/** Full references of the tags that were pushed. Throws `UnknownPayload`. */
export function pushedTags(source: HookSource, { body, headers, registry }: HookMessage): Pushed {
  const found = READERS[source](body, headers);
  if (found.length > MOST_TAGS) throw new UnknownPayload(`more than ${MOST_TAGS} tags in one message`);
  return registry === undefined ? found : found.map((text) => moved(text, registry));
}

/** A text of a payload as a reference with a tag. Throws `UnknownPayload`. */
export function readTag(text: string): Reference & { tag: string } {
  try {
    const reference = parseReference(text);
    if (reference.tag !== undefined && reference.digest === undefined) return { ...reference, tag: reference.tag };
  } catch (error) {
    throw new UnknownPayload(`${JSON.stringify(text.slice(0, 200))}: ${Failure.of(error).message}`);
  }
  throw new UnknownPayload(`${JSON.stringify(text.slice(0, 200))} is no reference with a tag`);
}

type Reader = (body: unknown, headers: HookMessage['headers']) => string[];

const READERS: Readonly<Record<HookSource, Reader>> = {
  docker(body) {
    if (typeof body === 'object' && body !== null && 'events' in body)
      return read(Distribution, body).events.flatMap(distributionTags);
    const { repository, push_data } = read(DockerHub, body);
    return [`docker.io/${repository.repo_name}:${push_data.tag}`];
  },

  github(body, headers) {
    if (headers['x-github-event'] === 'ping') return [];
    const pack = read(GitHub, body);
    if (pack.package_type.toLowerCase() !== 'container') return [];
    const url = pack.package_version?.package_url;
    const tagged = pack.package_version?.container_metadata?.tag?.name;
    // An untagged push: by its digest, which nothing here watches.
    if (!tagged) return [];
    if (url && /^[^/:]+\/.+:[^:/@]+$/.test(url)) return [url];
    const owner = pack.owner?.login ?? pack.namespace;
    if (!owner) throw new UnknownPayload('package.owner.login: missing');
    return [`ghcr.io/${owner.toLowerCase()}/${pack.name}:${tagged}`];
  },

  harbor(body) {
    if (typeof body === 'object' && body !== null && 'specversion' in body) return READERS.cloudevents(body, {});
    const { type, event_data } = read(Harbor, body);
    return type === 'PUSH_ARTIFACT' || type === 'pushImage' ? harborTags(event_data) : [];
  },

  quay(body) {
    const { docker_url, updated_tags } = read(Quay, body);
    return updated_tags.map((updated) => `${docker_url}:${updated}`);
  },

  cloudevents(body, headers) {
    if (Array.isArray(body)) {
      if (body.length > MOST_TAGS) throw new UnknownPayload(`more than ${MOST_TAGS} events in one message`);
      return body.flatMap((event) => READERS.cloudevents(event, {}));
    }
    // Binary mode: the attributes are headers and the body is the data.
    const type = headers['ce-type'];
    const event =
      typeof type === 'string' && headers['ce-specversion'] !== undefined
        ? { type, data: body }
        : read(CloudEvent, body);
    return /delete|remove|untag/i.test(event.type) ? [] : read(EventData, event.data, 'data');
  },
};

function distributionTags({ action, target, request }: z.output<typeof DistributionEvent>): string[] {
  if (action !== 'push' || target.tag === undefined || target.repository === undefined) return [];
  if (request?.host === undefined) throw new UnknownPayload('request.host: missing');
  return [`${request.host}/${target.repository}:${target.tag}`];
}

/** `resource_url` is `host/project/repository:tag`, or with `@digest` where no tag was pushed. */
function harborTags({ resources }: z.output<typeof HarborData>): string[] {
  return resources.map(({ resource_url }) => resource_url).filter((url) => !url.includes('@'));
}

/** The same path and tag at another registry. */
function moved(text: string, registry: string): string {
  const slash = text.indexOf('/');
  return `${registry}/${slash < 0 ? text : text.slice(slash + 1)}`;
}

function read<T>(schema: z.ZodType<T>, body: unknown, place = ''): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = [...(place ? [place] : []), ...issue.path].join('.') || 'body';
  throw new UnknownPayload(
    `${path}: ${issue.code === 'invalid_union' ? 'not the payload of this source' : issue.message}`,
  );
}
