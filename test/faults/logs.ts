// The three logs that can be put to the test, each with the faults that its product can have.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { mountSmallDisk, noSmallDisk } from '../e2e/small-disk.ts';
import { openKafkaFaults, openRabbitFaults } from './broker-log.ts';
import { fillDisk } from './disk.ts';
import type { Fault } from './fault.ts';

export const logNames = ['kafka', 'rabbitmq', 'sqlite'] as const;
export type LogName = (typeof logNames)[number];

export type FaultedLog = AsyncDisposable & {
  readonly url: string;
  readonly faults: readonly Fault[];
  /** faults that cannot be had on this machine, and why */
  readonly cannot: readonly string[];
};

/** `freezeMs`: how long a broker is frozen at most. */
export async function openFaultedLog(name: LogName, directory: string, freezeMs: number): Promise<FaultedLog> {
  switch (name) {
    case 'kafka':
      return await openKafkaFaults(directory, freezeMs);
    case 'rabbitmq':
      return await openRabbitFaults(directory, freezeMs);
    case 'sqlite':
      return openSqliteFaults(directory);
  }
}

const DISK_MB = 64;

function openSqliteFaults(directory: string): FaultedLog {
  const why = noSmallDisk();
  const disk = why === undefined ? mountSmallDisk(DISK_MB) : undefined;
  const place = disk?.directory ?? join(directory, 'log');
  mkdirSync(place, { recursive: true });
  const file = join(place, 'log.db');
  let locked: DatabaseSync | undefined;
  const faults: Fault[] = [
    {
      name: 'log locked',
      holdMs: [0, 6_000],
      inject: async () => {
        const database = new DatabaseSync(file, { timeout: 20_000 });
        database.exec('begin immediate');
        locked = database;
      },
      proof: async (heard) => (locked?.isTransaction === true && heard.failedWith('log_busy') ? 'a step of an agent failed' : undefined),
      heal: async () => {
        locked?.exec('rollback');
        locked?.close();
        locked = undefined;
      },
    },
  ];
  if (disk !== undefined) {
    const filled = fillDisk(place);
    faults.push({
      name: 'disk full',
      holdMs: [500, 6_000],
      inject: async () => filled.fill(0),
      proof: async (heard) => (heard.failedWith('disk_full') ? 'a step of an agent failed' : undefined),
      heal: async () => filled.empty(),
    });
  }
  return {
    url: `sqlite:${file}`,
    faults,
    cannot: why === undefined ? [] : [`disk full: ${why}`],
    [Symbol.asyncDispose]: async () => {
      locked?.close();
      disk?.[Symbol.dispose]();
    },
  };
}
