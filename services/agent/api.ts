// The bodies of the agent's HTTP answers: what the agent promises and the command line and the monitor read.
// Readers ignore what they do not know, so that agents of a newer version can be read too.
import { z } from 'zod';

const count = z.number().int().nonnegative();
const counts = z.object({ document: count, embedding: count, workspace: count, membership: count });

/** GET /status. Needs no token. */
export const statusSchema = z.object({
  replica: z.string(),
  /** docbus' own version */
  version: z.string(),
  /** bootstrapping: reading a log from its beginning; following: applying what comes; waiting: `problems` say for what */
  phase: z.enum(['bootstrapping', 'following', 'waiting']),
  /** the same as /readyz */
  ready: z.boolean(),
  /** what keeps this agent from being ready, one sentence each */
  problems: z.array(z.string()),
  /** records after the checkpoint; null while the log cannot be asked */
  lagRecords: count.nullable(),
  /** age of the oldest of them in seconds; null where it is not known, 0 without lag */
  lagSeconds: z.number().nonnegative().nullable(),
  /** digest of the manifest, 64 hex digits */
  digest: z.string(),
  /** present entries by kind */
  present: counts,
  /** chunks of text of all present embeddings */
  chunks: count,
  /** edits seen here and not yet in the log, held ones among them */
  unpublished: count,
  /** present entries that wait for another one (a membership for its workspace) */
  unapplied: count,
  /** deletions that wait for a person to approve or revert them */
  held: count,
  quarantined: count,
  conflicts: count,
});

/** GET /deletes: deletions that the guard holds. POST /deletes/approve and /deletes/revert take `keysSchema`, need the token and answer `doneSchema`. */
export const deletesSchema = z.object({
  deletes: z.array(z.object({ key: z.string(), reason: z.string(), since: z.number(), approved: z.boolean() })),
});

/** GET /quarantine. POST /quarantine/retry and /quarantine/drop take `idsSchema`, need the token and answer `doneSchema`. */
export const quarantineSchema = z.object({
  quarantine: z.array(z.object({ id: z.string(), key: z.string().nullable(), code: z.string(), message: z.string(), time: z.number() })),
});

/**
 * GET /conflicts, all or with ?limit=N the newest, the newest first. POST /conflicts/dismiss takes `dismissSchema`, needs the token and answers
 * `doneSchema`. `winner` and `loser` are versions; `file` holds the loser's content, null where it had none.
 */
export const conflictsSchema = z.object({
  conflicts: z.array(
    z.object({ id: z.string(), key: z.string(), winner: z.string(), loser: z.string(), file: z.string().nullable(), time: z.number() }),
  ),
  /** how many there are */
  total: count,
});

/** Without keys: all that are held. */
export const keysSchema = z.object({ keys: z.array(z.string()).optional() });
/** Without ids: all that are in quarantine. */
export const idsSchema = z.object({ ids: z.array(z.string()).optional() });
/** Without ids: all conflicts. `files`: what was kept of them goes too. */
export const dismissSchema = z.object({ ids: z.array(z.string()).optional(), files: z.boolean().optional() });
/** How many it was done to. */
export const doneSchema = z.object({ done: count });

export type Status = z.infer<typeof statusSchema>;
export type Deletes = z.infer<typeof deletesSchema>;
export type Quarantine = z.infer<typeof quarantineSchema>;
export type Conflicts = z.infer<typeof conflictsSchema>;
