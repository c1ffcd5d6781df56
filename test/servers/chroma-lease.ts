// Chroma servers that somebody else runs, named in DOCBUS_TEST_CHROMA_URL: one lease at a time for each, since AnythingLLM always uses
// the default database, so that two replicas on one server would be one. A server that holds anything is refused: it may be somebody's.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { cacheDirectory } from './cache.ts';
import type { ChromaServer } from './chroma.ts';
import { waitFor } from './process.ts';

const LEASE_MS = 120_000;
const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

/** Waits for the first of the servers that no other test uses. Stopping the lease empties the server and gives it back. It has no pid (0) and no directory ('') that we know of. */
export async function leaseChroma(urls: readonly string[], signal?: AbortSignal): Promise<ChromaServer> {
  let leased: { readonly url: string; readonly lock: DatabaseSync } | undefined;
  const what = `a Chroma server of DOCBUS_TEST_CHROMA_URL (${urls.join(', ')}) that no other test uses; name more of them, separated by spaces`;
  await waitFor(
    what,
    () => {
      for (const each of urls) {
        const lock = tryLease(each);
        if (lock !== undefined) leased = { url: each.replace(/\/+$/, ''), lock };
        if (leased !== undefined) return true;
      }
      return false;
    },
    { deadlineMs: LEASE_MS, everyMs: 200 },
    signal,
  );
  if (leased === undefined) throw new Error('unreachable: waitFor rejects');
  const { url, lock } = leased;
  const found = await collections(url);
  if (found.length > 0) {
    lock.close();
    throw new Error(
      `${url} (DOCBUS_TEST_CHROMA_URL) holds ${found.length} collections, such as ${found[0]}; tests need an empty server. Delete them or name another.`,
    );
  }
  const refuse = async (): Promise<never> => {
    throw new Error(
      `This test kills its Chroma server, and ${url} (DOCBUS_TEST_CHROMA_URL) is not ours to kill. Unset the variable for it.`,
    );
  };
  const stop = async (): Promise<void> => {
    if (!lock.isOpen) return;
    for (const name of await collections(url)) await fetch(`${url}${COLLECTIONS}/${encodeURIComponent(name)}`, { method: 'DELETE' });
    lock.close();
  };
  return { url, directory: '', pid: 0, kill: refuse, restart: refuse, stop, [Symbol.asyncDispose]: stop };
}

function tryLease(url: string): DatabaseSync | undefined {
  const name = createHash('sha256').update(url).digest('hex').slice(0, 16);
  const lock = new DatabaseSync(join(cacheDirectory(), `chroma-${name}.lock`));
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch {
    lock.close();
    return undefined;
  }
}

async function collections(url: string): Promise<string[]> {
  const answer = await fetch(`${url}${COLLECTIONS}?limit=1000`);
  if (!answer.ok) throw new Error(`${url} (DOCBUS_TEST_CHROMA_URL) answers ${answer.status}; is it a Chroma 1.x server?`);
  return ((await answer.json()) as { name: string }[]).map((collection) => collection.name);
}
