// A full disk under the storage, and under the state directory: the agent says so, is not ready, and goes on when there is room.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { mountSmallDisk, noSmallDisk } from './small-disk.ts';
import { textAbout } from './texts.ts';

const skip = noSmallDisk() ?? false;

for (const [place, megabytes] of [
  ['storageDir', 4],
  ['stateDir', 3],
] as const)
  test(
    `a full disk under the ${place === 'storageDir' ? 'storage' : 'state directory'} stops nothing for good and loses nothing`,
    { skip },
    async () => {
      using disk = mountSmallDisk(megabytes);
      await using cluster = await startCluster({
        replicas: 2,
        places: (name) => (name === 'replica-2' ? { [place]: join(disk.directory, 'place') } : {}),
      });
      const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
      await a.app.createWorkspace('Island');
      const small = await a.app.addRawText({ title: 'Small', text: textAbout('a small page', 10) });
      await a.app.embed('island', small);
      await cluster.converged({ when: ({ present }) => present.membership === 1 });

      // Random, so that packing it gains little.
      const big = await a.app.addRawText({ title: 'Big', text: randomBytes(6 << 20).toString('base64') });
      await waitFor(
        'the agent to say that the disk is full',
        async () => {
          const { status, body } = await b.get('/readyz');
          return status === 503 && /full|room|space/i.test(JSON.stringify(body));
        },
        { deadlineMs: 30_000 },
      );
      assert.equal((await b.get('/livez')).status, 200);
      const written = (await b.app.inspect()).documents.get(big);
      assert.ok(
        written === undefined || written.equals((await a.app.inspect()).documents.get(big)!),
        'half of a file is there under its name',
      );

      disk.resize(64);
      await cluster.converged({ when: ({ present }) => present.document === 2 && present.membership === 1 });
      await a.app.removeDocument(big);
      await b.app.pin('island', small);
      await waitFor('edits to flow again', async () => (await a.app.inspect()).memberships.get(`island/${small}`)?.[0]?.pinned === true, {
        deadlineMs: 20_000,
      });
      await cluster.converged({ when: ({ present }) => present.document === 1 });
    },
  );
