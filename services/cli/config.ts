// docbus config: the agent's settings as this environment has them, secrets masked.
import { readAgentSettings } from '@docbus/agent/config.ts';
import { readArguments, refuseMore, type Command } from './command.ts';
import { formatTable } from './table.ts';

export const command: Command = {
  usage: `usage: docbus config [--json]

Shows every setting of the agent, its value in this environment, and whether it comes from the environment or is a default.
Secrets are masked. Exit code 2 where a setting is wrong, with a message that names each.`,

  run: async (args, { environment, print }) => {
    const { values, positionals } = readArguments('config', args, { json: { type: 'boolean' } });
    refuseMore('config', positionals);
    const { origins } = readAgentSettings(environment);
    if (values.json === true) return print(JSON.stringify(origins, null, 2));
    print(
      formatTable([['variable', 'value', 'from'], ...origins.map(({ name, shown, from }) => [name, shown === '' ? '-' : shown, from])]),
    );
  },
};
