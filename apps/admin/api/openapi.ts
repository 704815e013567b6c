import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applyDecorators, type INestApplication, type PipeTransform } from '@nestjs/common';
import {
  ApiBody,
  ApiOperation,
  ApiParam,
  ApiProduces,
  ApiQuery,
  ApiResponse,
  ApiSecurity,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { z } from 'zod';
import { MODELS, Problem } from './models.js';
import { BadRequest } from './problem.js';

const OPENAPI = '3.1.0';
const URL_PATH = '/api/v1/openapi.json';
const PULL_API_PATH = '/api/v1/registry.yaml';

type Schema = NonNullable<
  Parameters<typeof ApiBody>[0] extends infer B ? (B extends { schema: infer S } ? S : never) : never
>;

/** JSON schema of a model; named ones by reference. */
function schemaOf(schema: z.ZodType): Schema {
  const id = MODELS.get(schema);
  return (id ? { $ref: uri(id) } : written(new Map([...MODELS, [schema, 'this']])).this) as Schema;
}

const uri = (id: string) => `#/components/schemas/${id}`;

/** JSON schemas by name; where one holds another that has a name, a reference stands. */
function written(models: ReadonlyMap<z.ZodType, string>): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [schema, id] of models) registry.add(schema as never, { id });
  const { schemas } = z.toJSONSchema(registry, { uri });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _, $id: __, id: ___, ...schema }]) => [name, schema]),
  );
}

/** One operation of the document: what it is for, what it answers, and that errors are problems. */
export function Operation(options: {
  readonly summary: string;
  readonly description?: string;
  readonly answer?: z.ZodType;
  readonly status?: number;
  /** Of an answer that is no JSON. */
  readonly type?: string;
  /** Changes something: needs the token where one is set. */
  readonly changes?: boolean;
  readonly query?: z.ZodObject;
  readonly params?: Readonly<Record<string, string>>;
  readonly body?: z.ZodType;
}): MethodDecorator {
  const { summary, description, answer, status = 200, type, query, params = {}, body } = options;
  return applyDecorators(
    ApiOperation({ summary, ...(description ? { description } : {}) }),
    ApiResponse({ status, description: summary, ...(answer ? { schema: schemaOf(answer) } : {}) }),
    ...(type ? [ApiProduces(type)] : []),
    ApiResponse({
      status: 'default',
      description: 'What went wrong.',
      content: { 'application/problem+json': { schema: schemaOf(Problem) } },
    }),
    ...(options.changes ? [ApiSecurity('token')] : []),
    ...(query ? parametersOf(query) : []),
    ...Object.entries(params).map(([name, text]) => ApiParam({ name, description: text, schema: { type: 'string' } })),
    ...(body ? [ApiBody({ schema: schemaOf(body) })] : []),
  );
}

function parametersOf(query: z.ZodObject): MethodDecorator[] {
  const { properties = {} } = z.toJSONSchema(query) as { properties?: Record<string, Record<string, unknown>> };
  return Object.entries(properties).map(([name, { description, ...schema }]) =>
    ApiQuery({
      name,
      required: !query.shape[name]!.safeParse(undefined).success,
      ...(description ? { description: String(description) } : {}),
      schema: schema as Schema,
    }),
  );
}

/** Checks a query or a body against its schema; the first wrong parameter is named. */
export class Valid<T> implements PipeTransform<unknown, T> {
  constructor(private readonly schema: z.ZodType<T>) {}

  transform(value: unknown): T {
    const result = this.schema.safeParse(value ?? {});
    if (result.success) return result.data;
    const issue = result.error.issues[0]!;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    throw new BadRequest(unknown ?? (issue.path.join('.') || 'body'), unknown ? 'no such parameter' : issue.message);
  }
}

export function describeApi(app: INestApplication): OpenAPIObject {
  const info = new DocumentBuilder()
    .setOpenAPIVersion(OPENAPI)
    .setTitle('ociregistry admin API')
    .setDescription('What is in the cache, what runs, and what leaves it. Errors are problem+json (RFC 9457).')
    .setVersion('1')
    .addSecurity('token', { type: 'http', scheme: 'bearer', description: '`admin.token`; see docs/operating.md.' })
    .build();
  const document = SwaggerModule.createDocument(app, info, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '').toLowerCase()}.${method}`,
  });
  document.components = {
    ...document.components,
    schemas: written(MODELS) as NonNullable<OpenAPIObject['components']>['schemas'],
  };
  return document;
}

/** Swagger UI at `/docs`, the document at `/api/v1/openapi.json`; that of the pull API too where it is shipped. */
export function serveDocs(app: INestApplication): void {
  const pullApi = pullApiFile();
  if (pullApi !== undefined) {
    app.getHttpAdapter().get(PULL_API_PATH, (_req: unknown, res: { type(t: string): { send(b: string): void } }) => {
      res.type('application/yaml').send(readFileSync(pullApi, 'utf8'));
    });
  }
  SwaggerModule.setup('docs', app, () => describeApi(app), {
    raw: false,
    customSiteTitle: 'ociregistry API',
    explorer: pullApi !== undefined,
    swaggerOptions: {
      urls: [
        { url: URL_PATH, name: 'Admin API' },
        ...(pullApi === undefined ? [] : [{ url: PULL_API_PATH, name: 'Pull API' }]),
      ],
    },
  });
  let text: string | undefined;
  app.getHttpAdapter().get(URL_PATH, (_req: unknown, res: { type(t: string): { send(b: string): void } }) => {
    text ??= JSON.stringify(describeApi(app));
    res.type('application/json').send(text);
  });
}

/** Beside package.json, some directories above both the sources and the build. */
function pullApiFile(): string | undefined {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory)
    directory = dirname(directory);
  const file = join(directory, 'docs/api/registry.yaml');
  return existsSync(file) ? file : undefined;
}
