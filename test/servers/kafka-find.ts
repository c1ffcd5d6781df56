// Where a Kafka broker comes from on this machine, in order: an installed Kafka of the wanted line; Maven Central's artefacts,
// copied once into the cache; Docker. All three end in the same `java -cp … kafka.Kafka`, so the rest does not care.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { installOnce, progress } from './cache.ts';
import { environment, findCommand } from './find.ts';
import { runProcess } from './process.ts';

/** The current line and the last one that knew ZooKeeper. */
export type KafkaLine = '4.x' | '3.9';

/** The versions that are installed, where it is us who install them. */
export const KAFKA_VERSIONS: Readonly<Record<KafkaLine, string>> = { '4.x': '4.4.0', '3.9': '3.9.2' };

/** A binding for SLF4J, without which a 4.x broker that refuses to start says nothing; and the tools, which 4.4 has not published. */
const EXTRA_ARTEFACTS: Readonly<Record<KafkaLine, readonly string[]>> = {
  '4.x': ['org.slf4j:slf4j-simple:1.7.36'],
  '3.9': [`org.apache.kafka:kafka-tools:${KAFKA_VERSIONS['3.9']}`],
};

export type KafkaLaunch = {
  /** for messages */
  readonly name: string;
  readonly version: string;
  /** How to run a class of Kafka's; `id` names a container where there is one, `directory` must be visible to it. */
  java(
    args: readonly string[],
    place: { readonly id: string; readonly directory: string },
  ): { readonly command: string; readonly args: readonly string[] };
  /** Where the process we start is not the broker itself. */
  kill?(id: string, signal: NodeJS.Signals): void;
};

export async function findKafka(line: KafkaLine, signal?: AbortSignal): Promise<KafkaLaunch> {
  const refused: string[] = [];
  for (const find of [installed, fromMaven, fromDocker]) {
    const found = await find(line, signal);
    if (typeof found !== 'string') return found;
    refused.push(found);
  }
  throw new Error(
    `No Kafka ${line} can be run here, and these tests are worth nothing without one.\n${refused.map((reason) => `- ${reason}`).join('\n')}\n` +
      'Install Java 17 and Maven (Debian: apt install openjdk-17-jre-headless maven), or Docker, or name a broker in DOCBUS_TEST_KAFKA (host:port).',
  );
}

/** KAFKA_HOME, or where `kafka-server-start.sh` on PATH lives. */
function installed(line: KafkaLine): KafkaLaunch | string {
  const start = findCommand('kafka-server-start.sh');
  const home = environment('KAFKA_HOME') ?? (start === undefined ? undefined : dirname(dirname(realpathSync(start))));
  if (home === undefined) return 'There is no `kafka-server-start.sh` on PATH, and KAFKA_HOME is not set.';
  const [jar] = globSync(join(home, 'libs', 'kafka_2.*-[0-9]*.jar'));
  const version = jar === undefined ? '' : (/-(\d[\w.]*)\.jar$/.exec(basename(jar))?.[1] ?? '');
  if (!version.startsWith(line === '3.9' ? '3.9.' : '4.'))
    return `The Kafka in ${home} is ${version || 'of an unknown version'}, not ${line}.`;
  const java = findJava();
  if (typeof java !== 'object') return java;
  return local(`installed in ${home}`, version, java.command, join(home, 'libs', '*'));
}

async function fromMaven(line: KafkaLine, signal?: AbortSignal): Promise<KafkaLaunch | string> {
  const maven = findCommand('mvn');
  if (maven === undefined) return 'There is no `mvn` on PATH.';
  const java = findJava();
  if (typeof java !== 'object') return java;
  const version = KAFKA_VERSIONS[line];
  const make = async (directory: string): Promise<void> => {
    progress(`Fetching Kafka ${version} from Maven Central into ${directory} (about 60 MB, once)`);
    writeFileSync(join(directory, 'pom.xml'), pom([`org.apache.kafka:kafka_2.13:${version}`, ...EXTRA_ARTEFACTS[line]]));
    const args = ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${join(directory, 'libs')}`, '-DincludeScope=runtime'];
    await runProcess(
      { name: `Fetching Kafka ${version} with Maven`, command: maven, args, directory, output: join(directory, 'install.log') },
      signal,
    );
    progress(`Fetched Kafka ${version}`, true);
  };
  try {
    const directory = await installOnce({ name: `kafka-${version}`, make }, signal);
    return local('Maven Central', version, java.command, join(directory, 'libs', '*'));
  } catch (error) {
    signal?.throwIfAborted();
    return `Maven Central's Kafka could not be fetched: ${(error as Error).message}`;
  }
}

/** The image's own jars, run like the others'. A container outlives the `docker run` that shows its output, so signals go to it by name. */
function fromDocker(line: KafkaLine): KafkaLaunch | string {
  const docker = findCommand('docker');
  if (docker === undefined) return 'There is no `docker` on PATH.';
  if (spawnSync(docker, ['info'], { stdio: 'ignore' }).status !== 0)
    return 'Docker is installed, but its daemon does not answer (docker info).';
  const version = KAFKA_VERSIONS[line];
  const user = `${process.getuid?.() ?? 1000}:${process.getgid?.() ?? 1000}`;
  return {
    name: 'Docker',
    version,
    java: (args, { id, directory }) => {
      mkdirSync(directory, { recursive: true });
      return {
        command: docker,
        args: ['run', '--rm', '--name', id, '--label', `docbus.owner=${process.pid}`, '--user', user, '--network', 'host']
          .concat(['--volume', `${directory}:${directory}`, '--workdir', directory, '--entrypoint', 'java', `apache/kafka:${version}`])
          .concat(['-cp', '/opt/kafka/libs/*', ...args]),
      };
    },
    kill: (id, signal) => void spawnSync(docker, ['kill', '--signal', signal, id], { stdio: 'ignore' }),
  };
}

function local(name: string, version: string, command: string, classPath: string): KafkaLaunch {
  return { name, version, java: (args) => ({ command, args: ['-cp', classPath, ...args] }) };
}

function findJava(): { readonly command: string } | string {
  const home = environment('JAVA_HOME');
  const command = home === undefined ? findCommand('java') : join(home, 'bin', 'java');
  if (command === undefined) return 'There is no `java` on PATH, and JAVA_HOME is not set.';
  const { stderr } = spawnSync(command, ['-version'], { encoding: 'utf8' });
  const version = Number(/version "(\d+)/.exec(stderr ?? '')?.[1]);
  return version >= 17 ? { command } : `${command} is Java ${version || 'of an unknown version'}; Kafka needs 17 or newer.`;
}

function pom(artefacts: readonly string[]): string {
  const dependencies = artefacts
    .map((artefact) => artefact.split(':'))
    .map(
      ([group, name, version]) =>
        `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`,
    );
  return `<project><modelVersion>4.0.0</modelVersion><groupId>docbus</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>${dependencies.join('')}</dependencies></project>\n`;
}
