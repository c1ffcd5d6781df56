// After the faults: everything runs, nobody edits. People repeat the removals that failed half way, the operator approves what is held,
// and then all replicas must become one within a deadline.
import { readFileSync } from 'node:fs';
import { conflictsSchema, doneSchema, type Status } from '@docbus/agent/api.ts';
import { contentHash, documentKey, kindOf, membershipKey, sha256, workspaceKey, type DocPath, type Key, type Slug } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import { differences, type Pictured } from '../e2e/compare.ts';
import type { E2eReplica } from '../e2e/replica.ts';
import { waitFor } from '../servers/process.ts';
import type { Inspection } from '../stand-in/index.ts';
import type { People } from './people.ts';

export type Settled = {
  readonly converged: boolean;
  readonly ms: number;
  /** why they are not one; [] where they are */
  readonly differences: readonly string[];
  readonly approved: number;
  readonly pictures: readonly Pictured[];
};

const DEADLINE_MS = 180_000;
/** A row without a file may be the agent's work of this moment. */
const ORPHAN_MS = 4_000;

export async function settle(replicas: readonly E2eReplica[], people: readonly People[], signal: AbortSignal): Promise<Settled> {
  const started = systemClock.now();
  let approved = 0;
  let found: readonly string[] = ['nothing was seen yet'];
  let pictures: readonly Pictured[] = [];
  const orphans = new Map<string, number>();
  const step = async (): Promise<boolean> => {
    for (const { agent, name } of replicas)
      if (agent.hasEnded()) throw new Error(`The agent of ${name} has ended by itself:\n${agent.tail(15)}`);
    for (const [index, own] of people.entries()) await removeAgain(own, `${index}`, orphans);
    const statuses = await Promise.all(replicas.map(async (replica) => await replica.status()));
    for (const [index, { held }] of statuses.entries())
      if (held > 0) approved += doneSchema.parse((await replicas[index]?.post('/deletes/approve'))?.body).done;
    found = unlike(statuses);
    if (found.length > 0) return false;
    pictures = await Promise.all(
      people.map(async ({ app, leftovers }, index) => ({
        name: replicas[index]?.name ?? '',
        inspection: withoutLeftovers(await app.inspect(), leftovers),
      })),
    );
    found = differences(pictures);
    return found.length === 0;
  };
  let converged = true;
  try {
    await waitFor('all replicas to be one', step, { deadlineMs: DEADLINE_MS, everyMs: 300 }, signal);
  } catch (error) {
    signal.throwIfAborted();
    converged = false;
    if ((error as Error).cause !== undefined) found = [...found, String((error as Error).cause)];
  }
  return { converged, ms: systemClock.now() - started, differences: found, approved, pictures };
}

/** What the agents say of themselves; [] where they say that they are equal and have nothing to do. */
function unlike(statuses: readonly Status[]): readonly string[] {
  const isCalm = statuses.every(
    ({ phase, lagRecords, unpublished, held }) => phase === 'following' && lagRecords === 0 && unpublished === 0 && held === 0,
  );
  return isCalm && new Set(statuses.map(({ digest }) => digest)).size === 1 ? [] : statuses.map((status) => JSON.stringify(status));
}

async function removeAgain(people: People, name: string, since: Map<string, number>): Promise<void> {
  const orphans = new Set(people.orphans());
  for (const path of orphans) {
    const id = `${name} ${path}`;
    const seen = since.get(id) ?? systemClock.now();
    since.set(id, seen);
    if (systemClock.now() - seen < ORPHAN_MS) continue;
    since.delete(id);
    await people.removeAgain(path);
  }
  for (const id of since.keys()) if (id.startsWith(`${name} `) && !orphans.has(id.slice(name.length + 1))) since.delete(id);
}

/** Vectors and their rows that AnythingLLM itself forgot are as they would be without docbus. */
function withoutLeftovers(inspection: Inspection, leftovers: ReadonlySet<string>): Inspection {
  const owned = new Set([...inspection.memberships.values()].flat().map(({ docId }) => docId));
  const vectorIds = new Map([...inspection.vectorIds].filter(([docId, ids]) => owned.has(docId) || !ids.every((id) => leftovers.has(id))));
  const named = new Set([...vectorIds.values()].flat());
  const collections = [...inspection.collections].map(
    ([slug, vectors]) => [slug, vectors.filter(({ id }) => named.has(id) || !leftovers.has(id))] as const,
  );
  return {
    ...inspection,
    vectorIds,
    collections: new Map(collections.filter(([slug, vectors]) => vectors.length > 0 || inspection.workspaces.has(slug))),
  };
}

/** Vectors that no row names, by who made them: AnythingLLM's ids are of version 4, an agent's of version 5. */
export function ghosts({ name, inspection: { collections, vectorIds } }: Pictured): readonly string[] {
  const named = new Set([...vectorIds.values()].flat());
  return [...collections].flatMap(([slug, vectors]) =>
    vectors
      .filter(({ id }) => !named.has(id))
      .map(({ id, text }) => `${name}, ${slug}: ${id} (made by ${id[14] === '4' ? 'AnythingLLM' : 'an agent'}) ${text?.slice(-60) ?? ''}`),
  );
}

/** What a replica has, as keys and hashes. */
export function finalOf({ documents, workspaces, memberships }: Inspection): ReadonlyMap<Key, string> {
  const final = new Map<Key, string>();
  for (const [path, bytes] of documents) final.set(documentKey(path as DocPath), sha256(bytes));
  for (const [slug, content] of workspaces) final.set(workspaceKey(slug as Slug), contentHash({ ...content }));
  for (const [name, copies] of memberships) {
    const slash = name.indexOf('/');
    const key = membershipKey(name.slice(0, slash) as Slug, name.slice(slash + 1) as DocPath);
    final.set(key, contentHash({ copies: copies.map(({ docId, pinned }) => ({ docId, pinned })) }));
  }
  return final;
}

/** A document without any vector in a workspace that holds it is not found by any question. */
export function mute({ memberships, vectorIds }: Inspection): readonly string[] {
  return [...memberships].flatMap(([key, copies]) =>
    copies.filter(({ docId }) => (vectorIds.get(docId) ?? []).length === 0).map(({ docId }) => `${key} (${docId}) has no vectors anywhere`),
  );
}

export type Kept = { readonly conflicts: number; readonly kept: ReadonlySet<string> };

/** What lost a conflict on a replica and is kept there. */
export async function keptBy(replica: E2eReplica): Promise<Kept> {
  const { conflicts } = conflictsSchema.parse((await replica.get('/conflicts')).body);
  const kept = conflicts.flatMap(({ key, file }) => {
    if (file === null) return [];
    const bytes = readFileSync(file);
    return [`${key} ${kindOf(key as Key) === 'document' ? sha256(bytes) : contentHash(JSON.parse(bytes.toString()))}`];
  });
  return { conflicts: conflicts.length, kept: new Set(kept) };
}
