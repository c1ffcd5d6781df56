// A process that appends one record to a SQLite log for each line it is sent: `append-on-demand.ts PATH [PREFIX]`. For tests.
import { createInterface } from 'node:readline';
import { systemClock } from '@docbus/runtime';
import { openSqliteLog } from '../sqlite.ts';

const [path = '', prefix = 'k'] = process.argv.slice(2);
const never = new AbortController().signal;
await using log = await openSqliteLog({ path, replica: `writer-${prefix}`, clock: systemClock }, never);
console.log('ready');
let count = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  await log.append([{ key: `${prefix}${count++}`, value: Buffer.from('value'), headers: { appending: String(Date.now()) } }], never);
}
