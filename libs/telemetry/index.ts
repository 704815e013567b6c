export { createLogger, flushLogger, type Logger, type LoggerOptions, loggerTo } from './logger.js';
export { meterUpstream } from './metered-upstream.js';
export { NestLogger } from './nest-logger.js';
export { Traffic, UsageBook } from './traffic.js';
