// @docbus/replica: one AnythingLLM instance as the agent sees it. Documents, caches, records (SQLite), vectors (Chroma), hints, manifest.
export * from './caches.ts';
export * from './documents.ts';
export * from './hints.ts';
export * from './lock.ts';
export * from './manifest.ts';
export * from './marker.ts';
export * from './port.ts';
export * from './records.ts';
export * from './vectors-chroma.ts';
