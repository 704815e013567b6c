import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { RawAnswer } from './raw.js';

type Json = Record<string, unknown>;

interface Header {
  readonly required?: boolean;
  readonly schema: Json;
}

interface Response {
  /** The setting without which it is never given. */
  readonly 'x-needs'?: string;
  readonly headers?: Readonly<Record<string, Header>>;
  readonly content?: Readonly<Record<string, { readonly schema?: Json }>>;
}

interface Operation {
  readonly responses: Readonly<Record<string, Response>>;
}

interface Path {
  /** As of a response, for all of them. */
  readonly 'x-needs'?: string;
  readonly get: Operation;
  readonly head: Operation;
  readonly post?: Operation;
}

interface ApiDocument {
  readonly openapi: string;
  readonly info: Json;
  readonly paths: Readonly<Record<string, Path>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Json>>;
    readonly responses: Readonly<Record<string, Response>>;
  };
}

/** docs/api/registry.yaml; its `$ref`s are left as they are. */
export function readApiDocument(): ApiDocument {
  const text = readFileSync(join(__dirname, '../../docs/api/registry.yaml'), 'utf8');
  return parse(text, { merge: true, maxAliasCount: 10_000 }) as ApiDocument;
}

/** Of HTTP itself; the document leaves them out. */
const TRANSPORT: ReadonlySet<string> = new Set(['date', 'connection', 'keep-alive']);

/** Holds answers against the document, and remembers which of its responses were seen. */
export class DocumentCheck {
  private readonly document = readApiDocument();
  private readonly seen = new Set<string>();

  /** What the answer says that the document does not, or leaves out; empty when they agree. */
  problems(method: string, target: string, answer: RawAnswer): string[] {
    const at = `${method} ${target} -> ${answer.status}`;
    const response = this.find(method, target, answer.status);
    if (response === undefined) return [`${at}: not documented`];
    return [...this.headerProblems(response, answer), ...this.bodyProblems(method, response, answer)].map(
      (problem) => `${at}: ${problem}`,
    );
  }

  /**
   * `METHOD path status` of every documented response that no answer has shown: of those that need no setting of their own, or of
   * those that need this one.
   */
  unseen(needs?: string): string[] {
    const all = Object.entries(this.document.paths).flatMap(([path, { get, head, post, 'x-needs': pathNeeds }]) =>
      Object.entries({ GET: get, HEAD: head, ...(post ? { POST: post } : {}) }).flatMap(([method, { responses }]) =>
        Object.entries(responses).flatMap(([status, response]) =>
          (this.resolve(response)['x-needs'] ?? pathNeeds) === needs ? `${method} ${path} ${status}` : [],
        ),
      ),
    );
    return [...all, ...(needs === undefined ? ['other methods 405'] : [])].filter((each) => !this.seen.has(each));
  }

  private find(method: string, target: string, status: number): Response | undefined {
    const path = this.pathOf(target.split('?', 1)[0] ?? '');
    const operations = path === undefined ? undefined : this.document.paths[path];
    const operation = { GET: operations?.get, HEAD: operations?.head, POST: operations?.post }[method];
    if (operation === undefined) {
      if (status !== 405) return undefined;
      this.seen.add('other methods 405');
      return this.document.components.responses.MethodNotAllowed;
    }
    const response = operation.responses[status];
    if (response) this.seen.add(`${method} ${path} ${status}`);
    return response && this.resolve(response);
  }

  private pathOf(path: string): string | undefined {
    return Object.keys(this.document.paths)
      .sort((a, b) => a.split('{').length - b.split('{').length)
      .find((template) =>
        new RegExp(
          `^${template
            .replace('{name}', '.+')
            .replaceAll(/\{\w+\}/g, '[^/]+')
            .replace(/\/$/, '/?')}$`,
        ).test(path),
      );
  }

  private headerProblems(response: Response, { headers }: RawAnswer): string[] {
    const problems: string[] = [];
    const documented = new Map(
      Object.entries(response.headers ?? {}).map(([name, header]) => [name.toLowerCase(), this.resolve(header)]),
    );
    const names = headers.map(([name]) => name.toLowerCase());
    for (const [name, value] of headers) {
      const lower = name.toLowerCase();
      if (TRANSPORT.has(lower) || lower === 'content-type') continue;
      const header = documented.get(lower);
      if (header === undefined) problems.push(`header ${lower} is not documented`);
      else problems.push(...this.valueProblems(header.schema, value, `header ${lower}`));
    }
    if (new Set(names).size < names.length) problems.push('a header comes twice');
    for (const [name, header] of documented)
      if (header.required && !names.includes(name)) problems.push(`header ${name} is missing`);
    return problems;
  }

  private bodyProblems(method: string, response: Response, answer: RawAnswer): string[] {
    const type = answer.header('content-type');
    if (response.content === undefined) return type === undefined ? [] : [`a body of type ${type} is not documented`];
    const content = response.content[type ?? ''] ?? response.content['*/*'];
    if (type === undefined || content === undefined) return [`content type ${type} is not documented`];
    if (method === 'HEAD' || content.schema === undefined) return [];
    return this.valueProblems(content.schema, JSON.parse(answer.body.toString()), 'body');
  }

  /** JSON Schema, as far as the document uses it. */
  private valueProblems(of: Json, value: unknown, at: string): string[] {
    const schema = this.resolve(of);
    const problems: string[] = [];
    const bad = (what: string) => problems.push(`${at} ${JSON.stringify(value)} ${what}`);
    if (Array.isArray(schema.oneOf)) {
      if (schema.oneOf.filter((one) => this.valueProblems(one, value, at).length === 0).length !== 1)
        bad('fits none of several schemas, or more than one');
      return problems;
    }
    if (schema.type !== undefined && typeOf(value) !== schema.type) {
      bad(`is no ${schema.type}`);
      return problems;
    }
    if (schema.const !== undefined && value !== schema.const) bad(`is not ${schema.const}`);
    if (Array.isArray(schema.enum) && !schema.enum.includes(value)) bad('is none of the documented values');
    if (typeof schema.pattern === 'string' && !new RegExp(schema.pattern, 'u').test(String(value)))
      bad(`does not match ${schema.pattern}`);
    if (typeof schema.minimum === 'number' && Number(value) < schema.minimum) bad('is too small');
    if (Array.isArray(value)) {
      if (value.length < Number(schema.minItems ?? 0)) bad('has too few items');
      for (const item of value) problems.push(...this.valueProblems((schema.items ?? {}) as Json, item, at));
    } else if (typeof value === 'object' && value !== null) {
      problems.push(...this.objectProblems(schema, value as Json, at));
    }
    return problems;
  }

  private objectProblems(schema: Json, value: Json, at: string): string[] {
    const properties = (schema.properties ?? {}) as Record<string, Json>;
    const missing = ((schema.required ?? []) as string[]).filter((name) => !Object.hasOwn(value, name));
    const problems = missing.map((name) => `${at}.${name} is missing`);
    for (const [name, child] of Object.entries(value)) {
      const known = Object.hasOwn(properties, name) ? properties[name] : (schema.additionalProperties ?? {});
      if (known === false) problems.push(`${at}.${name} is not documented`);
      else problems.push(...this.valueProblems(known as Json, child, `${at}.${name}`));
    }
    return problems;
  }

  private resolve<T extends object>(node: T): T {
    const { $ref: ref } = node as { $ref?: string };
    if (ref === undefined) return node;
    const found = ref
      .replace(/^#\//, '')
      .split('/')
      .reduce<unknown>((at, key) => (at as Json | undefined)?.[key], this.document);
    if (found === undefined) throw new Error(`no such part of the document: ${ref}`);
    return this.resolve(found as T);
  }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}
