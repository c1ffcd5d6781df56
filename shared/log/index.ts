// @docbus/log: the shared log. Drivers are reached through openLog, which loads only the one that is used.
export * from './codec.ts';
export * from './open.ts';
export { dropParts, partRecord, partsOf } from './parts.ts';
export * from './payload.ts';
export type * from './port.ts';
export { changeSchemas, type ChangeType } from './schema.ts';
export { createSealedLog, type SealOptions } from './seal.ts';
export { authorOf } from './sealed-record.ts';
export { secretId, secretsExample, secretsProblem, splitSecrets } from './secrets.ts';
