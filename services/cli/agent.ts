// docbus agent: reads the settings and runs the agent until it is asked to stop.
import { runAgent } from '@docbus/agent';
import { readAgentConfig } from '@docbus/agent/config.ts';
import { isDocbusError } from '@docbus/core';
import { createLogger, systemClock } from '@docbus/runtime';
import { readArguments, refuseMore, type Command } from './command.ts';

export const command: Command = {
  usage: `usage: docbus agent

Runs the agent beside one AnythingLLM until SIGTERM or SIGINT; a second one ends it at once.
All settings come from environment variables, at least:
  DOCBUS_LOG           the address of the log that all replicas share, for example sqlite:/var/lib/docbus/log.db
  DOCBUS_STORAGE_DIR   the storage directory of this AnythingLLM, or its own variable STORAGE_DIR
docbus config shows all of them and what is in force.`,

  run: async (args, { environment, signal }) => {
    refuseMore('agent', readArguments('agent', args, {}).positionals);
    const config = readAgentConfig(environment);
    const logger = createLogger({ level: config.logLevel, replica: config.replica });
    try {
      await runAgent(config, { signal, logger, clock: systemClock });
    } catch (error) {
      // Being asked to stop is no failure: whoever supervises the agent must see 0.
      if (!(signal.aborted && (error === signal.reason || isDocbusError(error, 'aborted')))) throw error;
    }
  },
};
