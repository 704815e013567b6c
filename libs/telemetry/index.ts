export { AccessLog, type LineLevel } from './access-log.js';
export { createLogger, flushLogger, type Logger, type LoggerOptions, loggerTo } from './logger.js';
export { meterUpstream } from './metered-upstream.js';
export { Metrics } from './metrics/metrics.js';
export type { About } from './metrics/process.js';
export { NestLogger } from './nest-logger.js';
export { meterRelay, PullCounters } from './pull-counters.js';
export { type Counters, type Kind, Traffic, UsageBook } from './traffic.js';
