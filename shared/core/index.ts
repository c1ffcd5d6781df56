// @docbus/core: the decisions of docbus. Pure; imports nothing but node:crypto.
export * from './change.ts';
export * from './digest.ts';
export * from './embedding.ts';
export * from './embedding-codec.ts';
export * from './errors.ts';
export * from './guard.ts';
export * from './hash.ts';
export * from './key.ts';
export * from './merge.ts';
export * from './reconcile.ts';
export * from './uuid.ts';
export * from './version.ts';
