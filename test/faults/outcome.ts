// What a run of faults has shown: a block of counts, and a last line that says whether it passed.
export type FaultCount = { injected: number; proven: number; evidence: string };

export type Outcome = {
  readonly log: string;
  readonly seed: number;
  readonly seconds: number;
  readonly operations: { readonly attempted: number; readonly completed: number; readonly failed: number };
  /** edits of keys */
  readonly edits: number;
  /** changes in the log by author, and winners applied by replica */
  readonly published: Readonly<Record<string, number>>;
  readonly applied: Readonly<Record<string, number>>;
  readonly conflicts: Readonly<Record<string, number>>;
  readonly approved: number;
  readonly quarantined: number;
  readonly converged: boolean;
  readonly convergedMs: number;
  readonly lost: readonly string[];
  readonly diverged: readonly string[];
  readonly extra: readonly string[];
  readonly faults: Readonly<Record<string, FaultCount>>;
  readonly cannot: readonly string[];
  /** where everything that is known of the run was put */
  readonly trace: string;
  /** of what was lost, differs or is there for no reason */
  readonly history: readonly string[];
};

export function hasPassed({ converged, lost, diverged, extra, quarantined, faults, operations, edits }: Outcome): boolean {
  const counts = Object.values(faults);
  return (
    converged &&
    lost.length + diverged.length + extra.length + quarantined === 0 &&
    counts.length > 0 &&
    counts.every(({ injected, proven }) => injected === proven) &&
    counts.some(({ injected }) => injected > 0) &&
    operations.completed > 0 &&
    edits > 0
  );
}

const LISTED_MAX = 20;

export function blockOf(outcome: Outcome): string {
  const { operations, faults, lost, diverged, extra } = outcome;
  const row = (name: string, text: string): string => `${name.padEnd(24)} ${text}`;
  const by = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([replica, count]) => `${replica} ${count}`)
      .join('  ');
  const listed = (name: string, items: readonly string[]): string[] => [
    row(name, String(items.length)),
    ...items.slice(0, LISTED_MAX).map((item) => `  ${item}`),
  ];
  const counts = Object.values(faults);
  const sum = (of: (count: FaultCount) => number): number => counts.reduce((total, count) => total + of(count), 0);
  return [
    `log ${outcome.log}, seed ${outcome.seed}, ${outcome.seconds} s of faults`,
    row('operations', `attempted ${operations.attempted}  completed ${operations.completed}  failed ${operations.failed}`),
    row('edits of keys', String(outcome.edits)),
    row('published', by(outcome.published)),
    row('applied', by(outcome.applied)),
    row('conflicts', by(outcome.conflicts)),
    row('deletions approved', String(outcome.approved)),
    row('quarantined', String(outcome.quarantined)),
    ...Object.entries(faults).map(([name, { injected, proven, evidence }]) =>
      row(name, injected === 0 ? 'not drawn' : `injected ${injected}  proven ${proven}  (${evidence || 'it never took effect'})`),
    ),
    ...outcome.cannot.map((what) => row('not possible here', what)),
    ...listed('lost', lost),
    ...listed('diverged', diverged),
    ...listed('extra', extra),
    ...outcome.history,
    ...(hasPassed(outcome) ? [] : [row('trace and logs', outcome.trace)]),
    row('converged', outcome.converged ? `after ${(outcome.convergedMs / 1000).toFixed(1)} s` : 'no'),
    `${hasPassed(outcome) ? 'passed' : 'FAILED'}: ${outcome.log}, ${sum(({ injected }) => injected)} faults injected, ${sum(({ proven }) => proven)} proven, ` +
      `lost ${lost.length}, diverged ${diverged.length}, extra ${extra.length}`,
  ].join('\n');
}
