// docbus quarantine: changes that could not be applied on a replica, and another try for them.
import { doneSchema, quarantineSchema } from '@docbus/agent/api.ts';
import { formatTime } from '@docbus/runtime';
import { agentUrl, openAgent } from './agent-client.ts';
import { readArguments, readChosen, readVerb, refuseMore, type Command } from './command.ts';
import { formatTable } from './table.ts';

export const command: Command = {
  usage: `usage: docbus quarantine [list] [--agent URL] [--json]
       docbus quarantine retry|drop (ID… | --all) [--agent URL]

A change that cannot be applied waits in quarantine with its reason while everything else goes on.
Remove the reason, then retry. A record that could not even be read has no key here: retry reads the log again
from its beginning, and drop forgets such records where nobody can ever read them (until the log is read again).
drop never forgets a change.

  --agent URL   the agent of the replica (default: this machine's, DOCBUS_HTTP)
  --all         everything in quarantine, instead of ids
retry and drop need DOCBUS_TOKEN, the same as the agent's.`,

  run: async (args, { environment, print, signal }) => {
    const { values, positionals } = readArguments('quarantine', args, {
      agent: { type: 'string' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
    });
    const { verb, rest: names } = readVerb('quarantine', positionals, ['list', 'retry', 'drop']);
    const agent = openAgent(agentUrl('quarantine', values.agent, environment), environment, signal);
    if (verb === 'list') {
      refuseMore('quarantine list', names);
      const { quarantine } = await agent.get('/quarantine', quarantineSchema);
      if (values.json === true) return print(JSON.stringify(quarantine, null, 2));
      const rows = quarantine.map(({ id, key, code, message, time }) => [id, key ?? '-', formatTime(time), code, message]);
      return print(
        quarantine.length === 0 ? 'Nothing is in quarantine.' : formatTable([['id', 'key', 'since', 'code', 'reason'], ...rows]),
      );
    }
    const ids = readChosen('quarantine', verb, { names, all: values.all, what: 'ids' });
    const { done } = await agent.post(`/quarantine/${verb}`, { ids }, doneSchema);
    if (verb === 'drop') print(`Forgot ${done} ${done === 1 ? 'record' : 'records'}.`);
    else print(`Retrying ${done} ${done === 1 ? 'change' : 'changes'}; docbus quarantine list shows what comes back.`);
    return done === 0 && ids !== undefined ? 1 : 0;
  },
};
