// The entry file of the docbus command: the only place where its process's arguments, environment and streams are touched.
import { runMain, stopSignal } from '@docbus/runtime';
import { main } from './main.ts';

// Whoever reads the output may stop early (docbus status | head); that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

await runMain(() =>
  main(process.argv.slice(2), {
    environment: process.env,
    print: (text) => process.stdout.write(`${text}\n`),
    signal: stopSignal(),
  }),
);
