// The wish to stop, as an AbortSignal. The first SIGTERM or SIGINT asks, and everything that waits ends in order;
// the second one ends the process at once, for whoever has waited long enough.
import { DocbusError } from '@docbus/core';
import { constants } from 'node:os';

/** Call it once, in an entry file. The signal's reason is a DocbusError `aborted` that names the process signal. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (name: 'SIGTERM' | 'SIGINT'): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    controller.abort(new DocbusError('aborted', `${name} asked docbus to stop.`));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return controller.signal;
}
