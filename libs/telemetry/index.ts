export { createLogger, flushLogger, type Logger, type LoggerOptions, loggerTo } from './logger.js';
export { NestLogger } from './nest-logger.js';
