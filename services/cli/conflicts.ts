// docbus conflicts: edits that lost against an edit of another replica, the files that keep their content, and taking them off the list.
import { conflictsSchema, doneSchema } from '@docbus/agent/api.ts';
import { formatTime } from '@docbus/runtime';
import { agentUrl, openAgent } from './agent-client.ts';
import { readArguments, readChosen, readVerb, refuseMore, wrongUsage, type Command } from './command.ts';
import { formatTable } from './table.ts';

const LIMIT = 50;

export const command: Command = {
  usage: `usage: docbus conflicts [list] [--limit N] [--agent URL] [--json]
       docbus conflicts dismiss (ID… | --all) [--delete-files] [--agent URL]

Two replicas changed one thing, neither knowing of the other. One change won, the same on all replicas;
the content of the other is kept in a file on the replica that met the conflict.
dismiss takes conflicts off the list of that replica for good. The files stay, unless you ask otherwise.

  --agent URL      the agent of the replica (default: this machine's, DOCBUS_HTTP)
  --limit N        the newest N (default: ${LIMIT})
  --json           as JSON
  --all            all conflicts, instead of ids
  --delete-files   remove the files that keep the content, too
dismiss needs DOCBUS_TOKEN, the same as the agent's.`,

  run: async (args, { environment, print, signal }) => {
    const { values, positionals } = readArguments('conflicts', args, {
      agent: { type: 'string' },
      all: { type: 'boolean' },
      'delete-files': { type: 'boolean' },
      json: { type: 'boolean' },
      limit: { type: 'string' },
    });
    const { verb, rest: names } = readVerb('conflicts', positionals, ['list', 'dismiss']);
    const agent = openAgent(agentUrl('conflicts', values.agent, environment), environment, signal);
    if (verb === 'list') {
      refuseMore('conflicts list', names);
      const limit = values.limit ?? String(LIMIT);
      if (!/^[1-9]\d{0,8}$/.test(limit)) throw wrongUsage('conflicts', `--limit takes a number of at least 1, not ${limit}.`);
      const { conflicts, total } = await agent.get(`/conflicts?limit=${limit}`, conflictsSchema);
      if (values.json === true) return print(JSON.stringify(conflicts, null, 2));
      if (conflicts.length === 0) return print('There are no conflicts.');
      const rows = conflicts.map(({ id, key, time, winner, loser, file }) => [id, key, formatTime(time), winner, loser, file ?? '-']);
      print(formatTable([['id', 'key', 'when', 'won', 'lost', 'kept in'], ...rows]));
      if (total > conflicts.length)
        print(`${total - conflicts.length} older ones are not shown; docbus conflicts --limit ${total} shows all.`);
      return;
    }
    const ids = readChosen('conflicts', verb, { names, all: values.all, what: 'ids' });
    const files = values['delete-files'] === true;
    const { done } = await agent.post('/conflicts/dismiss', { ids, files }, doneSchema);
    print(`Dismissed ${done} ${done === 1 ? 'conflict' : 'conflicts'}.${files ? ' Their files are gone.' : ''}`);
    return done === 0 && ids !== undefined ? 1 : 0;
  },
};
