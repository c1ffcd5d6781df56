// A process that appends one record to a SQLite log for each line it is sent,
// and then says how many it has appended: `append-on-demand.ts PATH PREFIX`. For tests.
import { createInterface } from 'node:readline';
import { systemClock } from '@docbus/runtime';
import { openSqliteLog } from '../sqlite.ts';

// oxlint-disable-next-line no-restricted-properties -- an entry file, of tests
const [path = '', prefix = ''] = process.argv.slice(2);
const never = new AbortController().signal;
await using log = openSqliteLog({ path, replica: `writer-${prefix}`, clock: systemClock });
// oxlint-disable-next-line no-restricted-globals -- the parent waits for it
console.log('ready');
let count = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  // oxlint-disable-next-line no-restricted-globals -- compared in the parent
  const appending = String(Date.now());
  await log.append([{ key: `${prefix}${count++}`, value: Buffer.from('value'), headers: { appending } }], never);
  // oxlint-disable-next-line no-restricted-globals -- as above
  console.log(count);
}
