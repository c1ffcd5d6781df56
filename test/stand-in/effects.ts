// Operations are generators that pause after each effect and wherever the original waits for something: a test or the simulation can
// look at the storage, let an agent work, or abandon the operation there, as if AnythingLLM had been killed.

export type EffectName =
  | 'folder created'
  | 'folder removed'
  | 'document truncated'
  | 'document half written'
  | 'document written'
  | 'document moved'
  | 'document removed'
  | 'document read'
  | 'cache truncated'
  | 'cache half written'
  | 'cache written'
  | 'cache removed'
  | 'cache read'
  | 'cache folder removed'
  | 'cache folder created'
  | 'chunks embedded'
  | 'collection ready'
  | 'vectors added'
  | 'vectors removed'
  | 'collection removed'
  | 'vector rows added'
  | 'vector rows removed'
  | 'document row added'
  | 'document row changed'
  | 'document row removed'
  | 'document rows removed'
  | 'workspace row added'
  | 'workspace row changed'
  | 'workspace row removed'
  | 'chat rows removed'
  | 'setting saved'
  | 'queue row added'
  | 'queue row changed'
  | 'queue rows removed'
  | 'run row added'
  | 'attachment written'
  | 'attachment removed'
  | 'attachment row added'
  | 'attachment row removed'
  | 'rows read'
  | 'event logged'
  | 'error swallowed';

/** What has just been done, and to which document, workspace or setting. */
export type Effect = { readonly done: EffectName; readonly to: string };

/** An operation under way: `next()` goes on to the next pause, `return()` abandons it. */
export type Steps<Result> = AsyncGenerator<Effect, Result, void>;

/** Performs an operation without pausing. */
export async function run<Result>(steps: Steps<Result>): Promise<Result> {
  for (;;) {
    const step = await steps.next();
    if (step.done === true) return step.value;
  }
}

/** Performs an operation up to and including the nth effect of a name, and abandons it there. Rejects when it ends before. */
export async function runUntil(steps: Steps<unknown>, done: EffectName, nth = 1): Promise<Effect> {
  let count = 0;
  for await (const effect of steps) if (effect.done === done && ++count === nth) return effect; // leaving the loop abandons it
  throw new Error(`The operation ended with ${count} of ${nth} "${done}".`);
}

/** The names of all effects of an operation, in order. */
export async function effectsOf(steps: Steps<unknown>): Promise<EffectName[]> {
  const names: EffectName[] = [];
  for await (const effect of steps) names.push(effect.done);
  return names;
}
