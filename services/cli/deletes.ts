// docbus deletes: what a person decides about deletions that the guard holds.
import { deletesSchema, doneSchema } from '@docbus/agent/api.ts';
import { formatTime } from '@docbus/runtime';
import { agentUrl, openAgent } from './agent-client.ts';
import { readArguments, readChosen, readVerb, refuseMore, type Command } from './command.ts';
import { formatTable } from './table.ts';

export const command: Command = {
  usage: `usage: docbus deletes [list] [--agent URL] [--json]
       docbus deletes approve|revert (KEY… | --all) [--agent URL]

More vanished from a replica at once than a person usually deletes, so its agent holds these deletions back.
approve publishes them, and every replica deletes; revert puts the content back on this replica. A document that is still
embedded is not approved: remove it from its workspaces in AnythingLLM first.

  --agent URL   the agent that holds them (default: this machine's, DOCBUS_HTTP)
  --all         everything that is held, instead of keys
approve and revert need DOCBUS_TOKEN, the same as the agent's.`,

  run: async (args, { environment, print, signal }) => {
    const { values, positionals } = readArguments('deletes', args, {
      agent: { type: 'string' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
    });
    const { verb, rest: names } = readVerb('deletes', positionals, ['list', 'approve', 'revert']);
    const agent = openAgent(agentUrl('deletes', values.agent, environment), environment, signal);
    if (verb === 'list') {
      refuseMore('deletes list', names);
      const { deletes } = await agent.get('/deletes', deletesSchema);
      if (values.json === true) return print(JSON.stringify(deletes, null, 2));
      const rows = deletes.map(({ key, reason, since, approved }) => [key, formatTime(since), approved ? 'approved' : reason]);
      return print(deletes.length === 0 ? 'No deletions are held.' : formatTable([['key', 'since', 'reason'], ...rows]));
    }
    const keys = readChosen('deletes', verb, { names, all: values.all, what: 'keys' });
    const { done } = await agent.post(`/deletes/${verb}`, { keys }, doneSchema);
    print(`${verb === 'approve' ? 'Approved' : 'Reverted'} ${done} ${done === 1 ? 'deletion' : 'deletions'}.`);
    if (verb === 'approve') {
      const { deletes } = await agent.get('/deletes', deletesSchema);
      const left = deletes.filter(({ key, approved }) => !approved && (keys === undefined || keys.includes(key))).length;
      if (left > 0) print(`${left} still held: embedded documents are deleted by removing them from their workspaces in AnythingLLM.`);
    }
    return done === 0 && keys !== undefined ? 1 : 0;
  },
};
