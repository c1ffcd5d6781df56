// @docbus/runtime: what a process needs around the decisions: time, signals, logger, settings, metrics, HTTP, exit.
export * from './backoff.ts';
export * from './bell.ts';
export * from './clock.ts';
export * from './config.ts';
export * from './exit.ts';
export * from './http.ts';
export * from './logger.ts';
export * from './memory.ts';
export * from './metrics.ts';
export * from './signals.ts';
export * from './time-text.ts';
