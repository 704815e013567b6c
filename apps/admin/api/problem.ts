import { STATUS_CODES } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { Failure } from '#oci';
import type { Log } from '#registry';

/** 400 for one parameter. */
export class BadRequest extends Error {
  constructor(
    readonly parameter: string,
    message: string,
  ) {
    super(message);
  }
}

/** A refusal with its status, for the caller to read. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** As much of Fastify's reply as is needed. */
interface Reply {
  status(code: number): Reply;
  type(mediaType: string): Reply;
  header(name: string, value: string): Reply;
  headers(values: Readonly<Record<string, string>>): Reply;
  send(body: unknown): unknown;
}

interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail?: string;
  errors?: { parameter: string; message: string }[];
}

/** Every error below `/api` as `application/problem+json` (RFC 9457); health keeps its own bodies. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Log) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<Reply>();
    if (!http.getRequest<{ url: string }>().url.startsWith('/api/') && error instanceof HttpException) {
      void reply.status(error.getStatus()).send(error.getResponse());
      return;
    }
    const problem = problemOf(error);
    if (problem.status >= 500) this.log.warn({ err: error }, 'an admin request failed');
    if (error instanceof Refusal) void reply.headers(error.headers);
    if (error instanceof Failure && error.retryAfter !== undefined)
      void reply.header('retry-after', String(error.retryAfter));
    void reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  }
}

function problemOf(error: unknown): ProblemBody {
  if (error instanceof BadRequest) {
    const { parameter, message } = error;
    return { ...titled(400), detail: `${parameter}: ${message}`, errors: [{ parameter, message }] };
  }
  if (error instanceof Refusal) return { ...titled(error.status), detail: error.message };
  if (error instanceof Failure) {
    return { ...titled(error.status), type: `urn:ociregistry:${error.reason.toLowerCase()}`, detail: error.message };
  }
  if (error instanceof HttpException) return { ...titled(error.getStatus()), detail: error.message };
  // The catalog's word for an expression that PostgreSQL cannot read.
  if ((error as { name?: string } | undefined)?.name === 'InvalidPattern')
    return problemOf(new BadRequest('pattern', (error as Error).message));
  // Fastify's own: a body that is no JSON, or too large.
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500)
    return { ...titled(status), detail: (error as Error).message };
  return titled(500);
}

function titled(status: number): ProblemBody {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status };
}
