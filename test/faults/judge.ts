// After the faults: what became of every edit. An edit is safe where the replicas have it, where it is kept as the loser of a conflict, or
// where somebody who had it before him replaced it. Anything else is lost. What nobody made, or what came back, is extra.
import { documentKey, kindOf, parseKey, workspaceKey, type Change, type Key } from '@docbus/core';
import type { Edit } from './edits.ts';
import type { Published } from './follower.ts';

export type Evidence = {
  readonly edits: readonly Edit[];
  readonly changes: readonly Published[];
  /** what each replica has at the end: key → hash */
  readonly finals: readonly ReadonlyMap<Key, string>[];
  /** `<key> <hash>` of everything under conflicts/ of any replica */
  readonly kept: ReadonlySet<string>;
};

export type Verdict = { readonly lost: readonly string[]; readonly extra: readonly string[] };

export function judge(evidence: Evidence): Verdict {
  const { edits, changes, finals } = evidence;
  const editsOf = Map.groupBy(edits, ({ key }) => key);
  const changesOf = Map.groupBy(changes, ({ change }) => change.key);
  const of = (key: Key) => ({ edits: editsOf.get(key) ?? [], changes: changesOf.get(key) ?? [] });
  const lost = edits.filter((edit) => edit.after !== '' && !isSafe(edit, of(edit.key), evidence)).map((edit) => say(edit, 'is nowhere'));
  const extra = edits
    .filter((edit) => edit.after === '' && !edit.failed && cameBack(edit, of(edit.key), evidence))
    .map((edit) => say(edit, `is there again as ${edit.before.slice(0, 8)}`));
  for (const [key, hash] of new Map(finals.flatMap((final) => [...final])))
    if (!of(key).edits.some(({ after }) => after === hash)) extra.push(`${key} ${hash.slice(0, 8)} was made by nobody`);
  return { lost, extra };
}

type OfKey = { readonly edits: readonly Edit[]; readonly changes: readonly Published[] };

function isSafe({ key, after, seq, at, replica }: Edit, { edits, changes }: OfKey, { finals, kept, edits: all }: Evidence): boolean {
  if (finals.every((final) => final.get(key) === after)) return true;
  if (kept.has(`${key} ${after}`)) return true;
  if (edits.some((later) => later.seq > seq && later.before === after)) return true;
  // Somebody built upon it, though the look just before his edit came too early to see it.
  const own = changes.filter(({ change }) => change.hash === after);
  const isBuiltUpon = own.some(({ change: { version } }) =>
    changes.some(
      ({ change }) => (change.base[version.replica] ?? 0) >= version.revision && edits.some((made) => made.after === change.hash),
    ),
  );
  if (isBuiltUpon) return true;
  // A broker that lost its tail may have lost it before we read it; whoever names more of its replica than we have seen had read it.
  const seen = Math.max(
    0,
    ...changes.filter(({ change }) => change.version.replica === replica).map(({ change }) => change.version.revision),
  );
  const wasRead = changes.some(({ change }) => change.version.replica !== replica && (change.base[replica] ?? 0) > seen);
  // Whoever deletes a workspace or a document deletes what it is in, or what is in it, wherever that was put.
  const parsed = parseKey(key);
  if (parsed.kind !== 'membership') return false;
  return [workspaceKey(parsed.slug), documentKey(parsed.path)].some(
    (owner) =>
      finals.every((final) => !final.has(owner)) ||
      ((own.length > 0 || wasRead) &&
        all.some((deletion) => deletion.key === owner && deletion.after === '' && deletion.at > at - OUTAGE_MS)),
  );
}

/** A deletion on another replica may be this much older and still arrive later. */
const OUTAGE_MS = 60_000;

function cameBack({ key, before, seq, replica, at, recorded, known }: Edit, { edits, changes }: OfKey, { finals }: Evidence): boolean {
  if (!finals.some((final) => final.get(key) === before)) return false;
  if (edits.some((later) => later.after === before && later.seq > seq)) return false;
  // A put that its replica had not heard of, or not to the end, wins over a deletion.
  const isOwn = edits.some((made) => made.replica === replica && made.after === before);
  const isOfOthers = changes.some(
    ({ change, at: seen }) => change.hash === before && change.version.replica !== replica && seen > at - OUTAGE_MS,
  );
  if (!recorded && (!isOwn || isOfOthers)) return false;
  // Somebody else may have come to the same: of that its replica can know by its record only.
  const isUnheard = ({ version, hash }: Change): boolean => hash === before && version.revision > (known[version.replica] ?? 0);
  return !changes.some(
    ({ change, at: seen }) => change.state === 'present' && change.version.replica !== replica && (seen >= at || isUnheard(change)),
  );
}

function say({ key, replica, operation, seq, after, at }: Edit, what: string): string {
  const name = kindOf(key) === 'membership' ? key : `${key} ${after.slice(0, 8)}`;
  return `${name} of ${replica} (${operation}, edit ${seq}, ${new Date(at).toISOString()}) ${what}`;
}
