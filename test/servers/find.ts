// What the machine has: commands on the path, settings in the environment, its C library. A server that cannot be found is a failure, never a skip.
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of a command, undefined when it is not on PATH (or not in `directories`, when given). */
export function findCommand(
  name: string,
  directories: readonly string[] = (process.env['PATH'] ?? '').split(delimiter),
): string | undefined {
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

export function environment(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

/** Version of the GNU C library as [major, minor]; undefined where there is none (musl, macOS). */
export function glibcVersion(): readonly [number, number] | undefined {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeNetwork = true; // else the report looks up the names of open connections, which takes seconds
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  const [major, minor] = (header.glibcVersionRuntime ?? '').split('.').map(Number);
  return major === undefined || minor === undefined || Number.isNaN(major) ? undefined : [major, minor];
}
