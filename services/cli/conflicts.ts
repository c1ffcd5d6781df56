// docbus conflicts: edits that lost against an edit of another replica, and the files that keep their content.
import { conflictsSchema } from '@docbus/agent/api.ts';
import { formatTime } from '@docbus/runtime';
import { agentUrl, openAgent } from './agent-client.ts';
import { readArguments, readVerb, refuseMore, type Command } from './command.ts';
import { formatTable } from './table.ts';

export const command: Command = {
  usage: `usage: docbus conflicts [list] [--agent URL] [--json]

Two replicas changed one thing, neither knowing of the other. One change won, the same on all replicas;
the content of the other is kept in a file on the replica that met the conflict.

  --agent URL   the agent of the replica (default: this machine's, DOCBUS_HTTP)`,

  run: async (args, { environment, print, signal }) => {
    const { values, positionals } = readArguments('conflicts', args, { agent: { type: 'string' }, json: { type: 'boolean' } });
    refuseMore('conflicts list', readVerb('conflicts', positionals, ['list']).rest);
    const agent = openAgent(agentUrl('conflicts', values.agent, environment), environment, signal);
    const { conflicts } = await agent.get('/conflicts', conflictsSchema);
    if (values.json === true) return print(JSON.stringify(conflicts, null, 2));
    const rows = conflicts.map(({ key, winner, loser, time, file }) => [key, formatTime(time), winner, loser, file ?? '-']);
    print(conflicts.length === 0 ? 'There are no conflicts.' : formatTable([['key', 'when', 'won', 'lost', 'kept in'], ...rows]));
  },
};
