// Other secrets open other records: whoever gets the right ones reads the log again from its first record, and appends again what only
// the wrong ones sealed. A replica that gets wrong ones must not append everything it knows: so it refills the log only where it
// could open most of what the others appended.
import { secretId } from '@docbus/log';
import type { Context } from './context.ts';
import type { Batch } from './incoming.ts';
import type { StartOverReason } from './start-over.ts';

const SECRETS = 'secrets';
const TRIAL = 'secrets_trial';
/** in the place of a secret's id */
const UNSEALED = 'none';

type Restartable = { readonly context: Context; readonly startOver: (reason: StartOverReason) => void };

/**
 * Before the first step. Where what this replica sealed last does not open any more, everything it knows has to be met in the log or
 * appended again; where it only has a further secret, what was refused may open now.
 */
export function noteSecrets({ context: { manifest }, startOver }: Restartable, secrets: readonly string[]): void {
  const now = secrets.map(secretId);
  const before = (manifest.meta(SECRETS) ?? UNSEALED).split(' ');
  const after = now.length === 0 ? [UNSEALED] : now;
  const changed = before.length !== after.length || before.some((id, i) => id !== after[i]);
  const lost = !after.includes(before[0] ?? UNSEALED);
  const isNew = manifest.meta('checkpoint') === undefined;
  const refused = manifest.quarantined().some(({ code }) => code === 'record_forged');
  if (changed && !isNew && lost) {
    manifest.setMeta(TRIAL, '0 0');
    startOver('secrets_changed');
  } else if (changed && !isNew && refused) startOver('secret_added');
  // Last: whoever dies before this notices it again.
  manifest.setMeta(SECRETS, after.join(' '));
}

/** Within the transaction that records a batch. */
export function countTrial({ manifest, settings }: Context, { incoming, forgedBy }: Batch): void {
  const [opened, refused] = trialOf(manifest) ?? [];
  if (opened === undefined || refused === undefined) return;
  const others = incoming.filter(({ change }) => change.version.replica !== settings.replicaId).length;
  const forged = forgedBy.filter((replica) => replica !== settings.replicaId).length;
  manifest.setMeta(TRIAL, `${opened + others} ${refused + forged}`);
}

/** At the end of the log. */
export function endTrial({ manifest, logger }: Context): void {
  const [opened, refused] = trialOf(manifest) ?? [];
  if (opened === undefined || refused === undefined) return;
  manifest.transaction(() => {
    if (refused > opened) manifest.setAllLogged(true);
    manifest.setMeta(TRIAL, undefined);
  });
  if (refused > opened)
    logger.error(
      { opened, refused },
      'the secrets of this replica do not open what the others append; look at DOCBUS_SECRET, and at docbus quarantine',
    );
  else logger.info({ opened, refused }, 'read the log with other secrets than before');
}

function trialOf(manifest: Context['manifest']): readonly number[] | undefined {
  return manifest.meta(TRIAL)?.split(' ').map(Number);
}
