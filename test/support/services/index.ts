export { startDockerRegistry } from './docker-registry.js';
export { type NatsService, startNats } from './nats.js';
export { startPgBouncer } from './pgbouncer.js';
export { type PostgresService, startPostgres } from './postgres.js';
export { freePort } from './probe.js';
export { type S3Service, startS3 } from './s3.js';
export type { Service } from './service.js';
export { startTokenRegistry } from './token-registry.js';
