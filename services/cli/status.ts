// docbus status: one row per agent, and one sentence about all of them.
import { statusSchema, type Status } from '@docbus/agent/api.ts';
import { isDocbusError, reasonOf } from '@docbus/core';
import { hidePasswords } from '@docbus/runtime';
import { agentUrl, openAgent } from './agent-client.ts';
import { readArguments, type Command } from './command.ts';
import { formatTable } from './table.ts';

export const command: Command = {
  usage: `usage: docbus status [AGENT…] [--json]

Shows what each agent says about its replica, and whether all replicas are identical.
AGENT is an address such as http://replica-1:4510. Without any: the addresses in DOCBUS_AGENTS (separated by commas),
else this machine's agent (DOCBUS_HTTP). Exit code 0 only if every agent answers and is ready and all replicas are identical.

  --json   print the agents' answers as JSON`,

  run: async (args, { environment, print, signal }) => {
    const { values, positionals } = readArguments('status', args, { json: { type: 'boolean' } });
    const listed = (environment['DOCBUS_AGENTS'] ?? '')
      .split(',')
      .map((text) => text.trim())
      .filter((text) => text !== '');
    const said: readonly (string | undefined)[] = positionals.length > 0 ? positionals : listed.length > 0 ? listed : [undefined];
    const urls = said.map((text) => agentUrl('status', text, environment));
    const answers = await Promise.all(
      urls.map(async (url) => await ask(url, () => openAgent(url, environment, signal).get('/status', statusSchema))),
    );
    const verdict = judge(answers);
    if (values.json === true) print(JSON.stringify({ identical: verdict.identical, agents: answers }, null, 2));
    else print([describe(answers), '', verdict.sentence].join('\n'));
    return verdict.good ? 0 : 1;
  },
};

export type Answer = { readonly agent: string; readonly status: Status } | { readonly agent: string; readonly problem: string };

/** An agent that does not answer is a row of the table, not the end of it. */
async function ask(url: string, get: () => Promise<Status>): Promise<Answer> {
  const agent = hidePasswords(url);
  try {
    return { agent, status: await get() };
  } catch (error) {
    if (isDocbusError(error, 'agent_unreachable', 'agent_refused')) return { agent, problem: reasonOf(error) };
    throw error;
  }
}

/** `identical`: all answered, have equal digests, no lag and nothing unpublished. `good`: identical, and all are ready. */
export function judge(answers: readonly Answer[]): { readonly identical: boolean; readonly good: boolean; readonly sentence: string } {
  const statuses = answers.flatMap((answer) => ('status' in answer ? [answer.status] : []));
  const notYet = statuses.filter(({ lagRecords, unpublished }) => lagRecords !== 0 || unpublished !== 0);
  // What is held is not published before a person says so: waiting for it would be in vain.
  const behind = notYet.filter(({ lagRecords, unpublished, held }) => lagRecords !== 0 || unpublished > held);
  const silent = answers.length - statuses.length;
  const digests = new Set(statuses.map(({ digest }) => digest)).size;
  const identical = silent === 0 && notYet.length === 0 && digests === 1;
  const count = `${answers.length} ${answers.length === 1 ? 'replica' : 'replicas'}`;
  const unready = statuses.flatMap(({ ready, replica }) => (ready ? [] : [replica]));
  const good = identical && unready.length === 0;
  const reservation = unready.length === 0 ? '' : `, as far as they know: ${unready.join(', ')} not ready`;
  if (identical) return { identical, good, sentence: `${answers.length} of ${count} identical${reservation}` };
  const reasons = [
    silent > 0 ? `${silent} not answering` : '',
    behind.length > 0 ? `${behind.map(({ replica }) => replica).join(', ')} still at work` : '',
    ...answers.map((answer) => ('status' in answer && answer.status.held > 0 ? waitsForPerson(answer) : '')),
    digests > 1 ? `${digests} different digests` : '',
  ].filter((reason) => reason !== '');
  return { identical, good, sentence: `Not identical: ${reasons.join('; ')}` };
}

function waitsForPerson({ agent, status: { replica, held } }: Extract<Answer, { status: Status }>): string {
  const are = held === 1 ? 'deletion is' : 'deletions are';
  return `${replica} waits for a person, ${held} ${are} held (docbus deletes --agent ${agent})`;
}

function describe(answers: readonly Answer[]): string {
  const head = [
    'replica',
    'phase',
    'ready',
    'documents',
    'memberships',
    'chunks',
    'lag',
    'seconds',
    'held',
    'quarantined',
    'conflicts',
    'digest',
  ];
  const rows = answers.map((answer) =>
    'status' in answer ? row(answer.status) : [answer.agent, 'no answer', 'no', ...head.slice(3).map(() => '-')],
  );
  const problems = answers.flatMap((answer) =>
    'status' in answer
      ? firstProblems(answer.status.problems).map((problem) => `${answer.status.replica}: ${problem}`)
      : [`${answer.agent}: ${answer.problem}`],
  );
  return [formatTable([head, ...rows]), ...problems].join('\n');
}

const PROBLEMS_MAX = 10;

/** The first that are said are the agent's own troubles; a folder that was emptied adds one for each of its files. */
function firstProblems(problems: readonly string[]): readonly string[] {
  const more = problems.length - PROBLEMS_MAX;
  return more <= 0 ? problems : [...problems.slice(0, PROBLEMS_MAX), `and ${more} more (--json prints all of them)`];
}

function row(status: Status): (string | number)[] {
  const { replica, phase, ready, present, chunks, lagRecords, lagSeconds, held, quarantined, conflicts, digest } = status;
  const seconds = lagSeconds === null ? '?' : Math.round(lagSeconds);
  return [
    replica,
    phase,
    ready ? 'yes' : 'no',
    present.document,
    present.membership,
    chunks,
    lagRecords ?? '?',
    seconds,
    held,
    quarantined,
    conflicts,
    digest.slice(0, 12),
  ];
}
