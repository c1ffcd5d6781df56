// @docbus/agent: the sidecar of one replica. runAgent puts the ports together and runs the loop until it is asked to stop.
import { existsSync } from 'node:fs';
import { sep } from 'node:path';
import { DocbusError } from '@docbus/core';
import { openLogWith, type Log } from '@docbus/log';
import { openCaches } from '@docbus/replica/caches.ts';
import { createDiskSync } from '@docbus/replica/disk-sync.ts';
import { openDocuments } from '@docbus/replica/documents.ts';
import { storageHints } from '@docbus/replica/hints.ts';
import { lockState } from '@docbus/replica/lock.ts';
import { openManifest, type Manifest } from '@docbus/replica/manifest.ts';
import { openRecords } from '@docbus/replica/records.ts';
import { createChromaVectors } from '@docbus/replica/vectors-chroma.ts';
import { createBell, hidePasswords, keepMemorySmall, serveHttp, type Clock, type Logger } from '@docbus/runtime';
import { createAgent, type Agent } from './agent.ts';
import type { AgentConfig } from './config.ts';
import { openConflictFiles } from './conflict-files.ts';
import { defaultSettings, isBootstrapping, type AgentOptions, type AgentSettings, type Scope } from './context.ts';
import { createAgentApp, createWaitingApp } from './http.ts';
import { createLateLog } from './late-log.ts';
import { createAgentMetrics } from './metrics.ts';
import { createLoop } from './run.ts';
import { noteSecrets } from './secrets.ts';
import { createStatusReader } from './status.ts';
import { guardStorage } from './storage-guard.ts';
import { version } from './version.ts';

export { createAgent, type Agent } from './agent.ts';
export type { AgentConfig } from './config.ts';

export type RunOptions = {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Stands between the agent and its ports; the end-to-end tests kill the process at a chosen call this way. */
  readonly decorate?: (options: AgentOptions) => AgentOptions;
};

type WaitOptions = Omit<RunOptions, 'decorate'>;

/** How long a lock on AnythingLLM's database is waited for before the step ends and is tried again. */
const DATABASE_BUSY_MS = 500;

/**
 * Runs until the signal aborts. Rejects with `config_invalid`, `state_locked`, `replica_id_taken`, or, to be started again, `state_removed` or `manifest_corrupt`;
 * everything else that may pass is waited for, with the agent not ready meanwhile.
 */
export async function runAgent(config: AgentConfig, { signal, logger, clock, decorate = (options) => options }: RunOptions): Promise<void> {
  await waitForStorage(config, { signal, logger, clock });
  using held = new DisposableStack();
  const lock = held.use(lockState({ stateDir: config.stateDir }));
  using manifest = openManifest({ directory: config.stateDir, clock });
  if (manifest.setAside !== undefined)
    logger.error({ file: manifest.setAside }, 'the manifest was damaged: it is set aside and rebuilt from the log');
  refuseRename(manifest, config);
  if (!isBootstrapping(manifest)) keepMemorySmall();
  const { storageDir, databaseFile: databasePath } = config;
  await using log: Log = createLateLog(
    hidePasswords(config.log),
    () => openLogWith(config.secrets, config.log, { replica: config.replica, clock }, signal),
    clock,
  );
  using records = openRecords({ databasePath, clock, busyMs: DATABASE_BUSY_MS });
  const durable = createDiskSync(storageDir);
  const replica = {
    documents: openDocuments({ storageDir, clock, documentBytesMax: config.documentBytesMax, durable }),
    caches: openCaches({ storageDir, clock, durable }),
    records,
    vectors: createChromaVectors({ url: config.chroma.endpoint, headers: config.chroma.headers }),
  };
  const checkState = (): void => {
    lock.check();
    manifest.checkPlace();
  };
  const agent = createAgent(
    decorate({ replica, log, manifest, conflicts: openConflictFiles(config.stateDir), clock, logger, settings: settingsOf(config) }),
  );
  noteSecrets(agent, config.secrets);
  const guarded: Agent = guardStorage(agent, { storageDir, replicaId: config.replica, lock: { check: checkState } });

  const bell = createBell();
  const hints = async function* (stop: AbortSignal): AsyncIterable<Scope> {
    const onError = (error: unknown): void => logger.warn({ error }, 'watching the storage failed; changes are found by sweeps only');
    for await (const hint of storageHints({ storageDir, databasePath, polling: config.polling, onError }, stop)) yield hint;
  };
  const loop = createLoop({ agent: guarded, log, hints, bell, clock, logger, sweepMs: config.sweepMs });
  const reader = createStatusReader(agent, loop, version);
  const registry = createAgentMetrics(agent, loop, reader, signal);
  const app = createAgentApp({ agent, loop, reader, registry, token: config.token, clock, logger });
  await using server = await serveHttp(app, { ...config.http, setting: 'DOCBUS_HTTP' }, signal);
  // Not before everything else was found right: a file that was copied and not yet edited must claim nothing under the wrong name.
  manifest.setMeta('replica', config.replica);
  logger.info(
    {
      version,
      log: log.name,
      sealed: config.secrets.length > 0,
      storage: storageDir,
      state: config.stateDir,
      chroma: config.chroma.endpoint,
      port: server.port,
    },
    'the agent runs',
  );
  await loop.run(signal);
  logger.info({}, 'the agent stopped');
}

/**
 * A state directory inside a storage that is not there would be made on the empty mount point, and vanish under the volume. Health checks
 * are answered meanwhile: whoever starts the agent before AnythingLLM must not take it for dead.
 */
async function waitForStorage({ storageDir, stateDir, http }: AgentConfig, { signal, logger, clock }: WaitOptions): Promise<void> {
  const isAway = (): boolean => stateDir.startsWith(storageDir + sep) && !existsSync(storageDir);
  if (!isAway()) return;
  const reason = `The storage directory ${storageDir} is not there; start AnythingLLM or mount it, or set DOCBUS_STORAGE_DIR.`;
  await using _ = await serveHttp(createWaitingApp(reason, logger), { ...http, setting: 'DOCBUS_HTTP' }, signal);
  for (let looks = 1; isAway(); looks++) {
    const isPowerOfTwo = (looks & (looks - 1)) === 0; // said less and less often
    if (isPowerOfTwo)
      logger.error(
        { code: 'storage_missing', storage: storageDir },
        'the storage directory is not there; mount it, or set DOCBUS_STORAGE_DIR',
      );
    await clock.sleep(STORAGE_LOOK_MS, signal).catch((error: unknown) => {
      signal.throwIfAborted(); // with the reason that whoever asked to stop expects
      throw error;
    });
  }
}

/** Mounting is quick, and nothing can be done before it. */
const STORAGE_LOOK_MS = 1000;

/** The name is in every version this manifest has published: another one would make its own past somebody else's. */
function refuseRename(manifest: Manifest, { replica, stateDir }: AgentConfig): void {
  const known = manifest.meta('replica');
  if (known !== undefined && known !== replica)
    throw new DocbusError(
      'config_invalid',
      `The state in ${stateDir} belongs to the replica ${known}, not ${replica}. Set DOCBUS_REPLICA=${known}, or give this replica a state directory of its own (DOCBUS_STATE_DIR).`,
    );
}

export function settingsOf(config: AgentConfig): AgentSettings {
  return { ...defaultSettings, replicaId: config.replica, embedder: config.embedder, settleMs: config.settleMs, guard: config.deleteGuard };
}
