// Where a Chroma server comes from on this machine, in order: `chroma` on PATH; the npm package's own, where the C library is new
// enough for it; PyPI's, installed once into the cache; Docker. Nothing else is tried, and none of it is ever a reason to skip a test.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { installOnce, progress } from './cache.ts';
import { findCommand, glibcVersion } from './find.ts';
import { runProcess } from './process.ts';

/** The version that is installed, where it is us who install it. */
export const CHROMA_VERSION = '1.5.9';

export type ChromaLaunch = {
  /** for messages */
  readonly name: string;
  run(
    directory: string,
    port: number,
  ): { readonly command: string; readonly args: readonly string[]; readonly env?: Readonly<Record<string, string>> };
  /** Where the process we start is not the server itself. */
  kill?(port: number, signal: NodeJS.Signals): void;
  beforeStop?(port: number): void;
};

const runArgs = (directory: string, port: number, host = '127.0.0.1'): string[] => [
  'run',
  '--path',
  directory,
  '--host',
  host,
  '--port',
  String(port),
];

export async function findChroma(signal?: AbortSignal): Promise<ChromaLaunch> {
  const refused: string[] = [];
  for (const find of [onPath, fromNpm, fromPypi, fromDocker]) {
    const found = await find(signal);
    if (typeof found !== 'string') return found;
    refused.push(found);
  }
  throw new Error(
    `No Chroma server can be run on this machine, and nothing is tested or shown without one.\n${refused.map((reason) => `- ${reason}`).join('\n')}\n` +
      'Install Python 3.9 or newer with pip (Debian: apt install python3-pip), or Docker, or name empty servers in DOCBUS_TEST_CHROMA_URL.',
  );
}

/** npm puts node_modules/.bin on PATH, and the `chroma` there is the next way's business. */
function onPath(): ChromaLaunch | string {
  const directories = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => !/node_modules[/\\]\.bin[/\\]?$/.test(directory));
  const command = findCommand('chroma', directories);
  if (command === undefined) return 'There is no `chroma` on PATH.';
  return { name: command, run: (directory, port) => ({ command, args: runArgs(directory, port) }) };
}

/** The npm package's prebuilt server needs GNU C library 2.39 on Linux (Debian 13, Ubuntu 24.04). */
function fromNpm(): ChromaLaunch | string {
  const cli = resolve(import.meta.dirname, '..', '..', 'node_modules', 'chromadb', 'dist', 'cli.mjs');
  if (!existsSync(cli)) return 'The npm package chromadb is not installed (npm ci).';
  if (process.platform === 'linux') {
    const glibc = glibcVersion();
    if (glibc === undefined) return "npm's chromadb needs the GNU C library, which this system does not use.";
    const [major, minor] = glibc;
    if (major < 2 || (major === 2 && minor < 39)) return `npm's chromadb needs GNU C library 2.39; this system has ${major}.${minor}.`;
  }
  return { name: 'npm', run: (directory, port) => ({ command: process.execPath, args: [cli, ...runArgs(directory, port)] }) };
}

/**
 * The wheel holds the whole server as one native module. Its 500 MB of dependencies are for Python clients, so they stay away,
 * and calling the module itself instead of the `chroma` script saves a second of imports at every start.
 */
async function fromPypi(signal?: AbortSignal): Promise<ChromaLaunch | string> {
  const python = findCommand('python3');
  if (python === undefined) return 'There is no `python3` on PATH.';
  const packages = ['--no-deps', `chromadb==${CHROMA_VERSION}`];
  const make = async (directory: string): Promise<void> => {
    const uv = findCommand('uv');
    if (uv === undefined && spawnSync(python, ['-m', 'pip', '--version'], { stdio: 'ignore' }).status !== 0)
      throw new Error(`${python} has no pip, and there is no \`uv\`.`);
    progress(`Installing Chroma ${CHROMA_VERSION} from PyPI into ${directory} (about 60 MB, once)`);
    const [command, args] =
      uv === undefined
        ? [python, ['-m', 'pip', 'install', '--target', join(directory, 'packages'), ...packages]]
        : [uv, ['pip', 'install', '--python', python, '--target', join(directory, 'packages'), ...packages]];
    await runProcess({ name: 'Installing chromadb from PyPI', command, args, output: join(directory, 'install.log') }, signal);
    progress(`Installed Chroma ${CHROMA_VERSION}`, true);
  };
  let directory: string;
  try {
    directory = await installOnce({ name: `chroma-${CHROMA_VERSION}`, make }, signal);
  } catch (error) {
    signal?.throwIfAborted();
    return `PyPI's chromadb could not be installed: ${(error as Error).message}`;
  }
  const program = 'import sys, chromadb_rust_bindings as server; server.cli(["chroma", *sys.argv[1:]])';
  return {
    name: 'PyPI',
    run: (place, port) => ({
      command: python,
      args: ['-c', program, ...runArgs(place, port)],
      env: { PYTHONPATH: join(directory, 'packages') },
    }),
  };
}

/** A container outlives the `docker run` that shows its output, so signals go to it by name, and leftovers of dead owners are removed first. */
function fromDocker(): ChromaLaunch | string {
  const docker = findCommand('docker');
  if (docker === undefined) return 'There is no `docker` on PATH.';
  if (spawnSync(docker, ['info'], { stdio: 'ignore' }).status !== 0)
    return 'Docker is installed, but its daemon does not answer (docker info).';
  removeLeftovers(docker);
  const nameOf = (port: number): string => `docbus-test-chroma-${port}`;
  const user = `${process.getuid?.() ?? 1000}:${process.getgid?.() ?? 1000}`;
  return {
    name: 'Docker',
    run: (directory, port) => ({
      command: docker,
      args: ['run', '--rm', '--name', nameOf(port), '--label', `docbus.owner=${process.pid}`, '--user', user, '--network', 'host']
        .concat(['--volume', `${directory}:${directory}`, `chromadb/chroma:${CHROMA_VERSION}`])
        .concat(runArgs(directory, port)),
    }),
    kill: (port, signal) => void spawnSync(docker, ['kill', '--signal', signal, nameOf(port)], { stdio: 'ignore' }),
    beforeStop: (port) => void spawnSync(docker, ['kill', '--signal', 'SIGINT', nameOf(port)], { stdio: 'ignore' }),
  };
}

function removeLeftovers(docker: string): void {
  const listed = spawnSync(docker, ['ps', '--filter', 'label=docbus.owner', '--format', '{{.ID}} {{.Label "docbus.owner"}}'], {
    encoding: 'utf8',
  });
  for (const line of listed.stdout.split('\n').filter(Boolean)) {
    const [id, owner] = line.split(' ');
    if (id !== undefined && !isAlive(Number(owner))) spawnSync(docker, ['rm', '--force', id], { stdio: 'ignore' });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
