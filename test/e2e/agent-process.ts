// An agent as `docbus agent` runs it, with a test standing between it and its ports. DOCBUS_TEST_CONTROL names the control directory.
import { runAgent } from '@docbus/agent';
import { readAgentConfig } from '@docbus/agent/config.ts';
import { isDocbusError } from '@docbus/core';
import { createLogger, runMain, stopSignal, systemClock } from '@docbus/runtime';
import { obeyControl } from './control.ts';
import { withKillPoints } from './kill-points.ts';

await runMain(async () => {
  const signal = stopSignal();
  const config = readAgentConfig(process.env);
  const logger = createLogger({ level: config.logLevel, replica: config.replica });
  const control = obeyControl(process.env['DOCBUS_TEST_CONTROL'] ?? '');
  try {
    await runAgent(config, { signal, logger, clock: systemClock, decorate: (options) => withKillPoints(options, control) });
  } catch (error) {
    if (!(signal.aborted && (error === signal.reason || isDocbusError(error, 'aborted')))) throw error;
  }
});
