// Finds the subcommand and runs it. The table below is the whole command line; what each does is in its own file.
import { DocbusError } from '@docbus/core';
import { nearest } from '@docbus/runtime';
import { readFileSync } from 'node:fs';
import type { Command, Shell } from './command.ts';

type Listed = { readonly about: string; readonly load: () => Promise<{ readonly command: Command }> };

const commands: Readonly<Record<string, Listed>> = {
  agent: { about: 'run the agent beside one AnythingLLM', load: () => import('./agent.ts') },
  status: { about: 'show what agents are doing, and whether their replicas are identical', load: () => import('./status.ts') },
  deletes: { about: 'list, approve or revert deletions that the guard holds', load: () => import('./deletes.ts') },
  quarantine: { about: 'list, retry or drop changes that could not be applied', load: () => import('./quarantine.ts') },
  conflicts: { about: 'list or dismiss edits that lost against another, and where their content is', load: () => import('./conflicts.ts') },
  copy: { about: 'copy a log into another: backup, restore, migration, bridge', load: () => import('./copy.ts') },
  config: { about: "show the agent's settings and where each comes from", load: () => import('./config.ts') },
  demo: { about: 'three replicas on this machine, from nothing to converged', load: () => import('./demo.ts') },
};

export async function main(args: readonly string[], shell: Shell): Promise<number | void> {
  const [name = 'help', ...rest] = args;
  if (name === '--version' || name === 'version') return shell.print(version());
  if (name === 'help' && rest[0] !== undefined) return shell.print((await find(rest[0]).load()).command.usage);
  if (name === 'help' || name === '--help' || name === '-h') return shell.print(help());
  const { command } = await find(name).load();
  if (rest.includes('--help') || rest.includes('-h')) return shell.print(command.usage);
  return await command.run(rest, shell);
}

function find(name: string): Listed {
  const listed = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (listed !== undefined) return listed;
  const near = nearest(name, Object.keys(commands));
  const hint = near === undefined ? '' : ` Did you mean ${near}?`;
  throw new DocbusError('config_invalid', `docbus has no command ${JSON.stringify(name)}.${hint} See: docbus help`);
}

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`);
  return `usage: docbus <command> [options]

docbus keeps the replicas of a load-balanced AnythingLLM one knowledge base.

${lines.join('\n')}

docbus help <command> shows the options of a command; docbus --version shows the version.`;
}

function version(): string {
  const text = readFileSync(new URL('package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
