// Order of versions within one key. No clock takes part, so a replica with a wrong clock can do no harm.

/** `revision` is one more than the highest the replica knew for the key when it published (>= 1). */
export type Version = { readonly revision: number; readonly replica: string };

/** The highest revision of each replica that a change is based on, its ancestors' included; {} for a first version. */
export type Base = Readonly<Record<string, number>>;

/** What a change that replaces `known` is based on. */
export function baseOn(known: { readonly version: Version; readonly base: Base } | undefined): Base {
  if (known === undefined) return {};
  const { replica, revision } = known.version;
  return { ...known.base, [replica]: Math.max(known.base[replica] ?? 0, revision) };
}

export type State = 'present' | 'deleted';

/** What `compareStamp` looks at: one version of one key together with what it says. `hash` is '' when deleted. */
export type Stamp = { readonly version: Version; readonly state: State; readonly hash: string };

/**
 * Total order within a key: higher revision; then present before deleted; then the greater replica id; then the greater hash.
 * Returns < 0, 0 or > 0; 0 only for equal stamps.
 */
export function compareStamp(a: Stamp, b: Stamp): number {
  if (a.version.revision !== b.version.revision) return a.version.revision - b.version.revision;
  if (a.state !== b.state) return a.state === 'present' ? 1 : -1;
  return compareText(a.version.replica, b.version.replica) || compareText(a.hash, b.hash);
}

export function sameVersion(a: Version, b: Version): boolean {
  return a.revision === b.revision && a.replica === b.replica;
}

export function formatVersion(version: Version): string {
  return `${version.revision}@${version.replica}`;
}

/** Code-unit order: the same on every machine, unlike localeCompare. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
