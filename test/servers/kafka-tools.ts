// Kafka's own command line tools, run from the same jars as the broker: what an operator sees is what the tests look at.
import { readFileSync, rmSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findKafka } from './kafka-find.ts';
import { runProcess } from './process.ts';

const CLASSES = {
  'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
  'kafka-configs': 'kafka.admin.ConfigCommand',
  'kafka-delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
  'kafka-acls': 'kafka.admin.AclCommand',
} as const;

export type KafkaTool = keyof typeof CLASSES;

/**
 * Runs a tool to its end and returns its output (stdout and stderr). Rejects with it when the tool fails.
 * The tools are those of 3.9: Maven Central has none for every 4.x, and these speak to all of them.
 */
export async function runKafkaTool(tool: KafkaTool, args: readonly string[], signal?: AbortSignal): Promise<string> {
  const launch = await findKafka('3.9', signal);
  const output = join(tmpdir(), `docbus-${tool}-${randomUUID()}.log`);
  const java = launch.java(['-Xmx256m', '-XX:TieredStopAtLevel=1', CLASSES[tool], ...args], {
    id: `docbus-test-${randomUUID()}`,
    directory: tmpdir(),
  });
  try {
    await runProcess({ name: tool, ...java, output }, signal);
    return readFileSync(output, 'utf8');
  } finally {
    rmSync(output, { force: true });
  }
}
