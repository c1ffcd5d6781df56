// A session: a link and the topic as it was found when the link was made. One piece of work at a time; whatever fails ends the session,
// and the next piece of work opens another.
import { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { createTurns } from './broker-link.ts';
import { openKafkaLink, type KafkaBroker, type KafkaLink, type KafkaLinkOptions } from './kafka-client.ts';
import { kafkaErrorType } from './kafka-errors.ts';
import { metadataCall } from './kafka-protocol.ts';
import { openKafkaTopic, type KafkaTopic, type KafkaTopicOptions } from './kafka-topic.ts';

export type KafkaSession = {
  readonly link: KafkaLink;
  readonly topic: KafkaTopic;
  brokerOf(leader: number): Promise<KafkaBroker>;
  anyBroker(): Promise<KafkaBroker>;
  /** Looks again; rejects with StaleTopic where the topic is another one by now, or has more partitions. */
  refresh(): Promise<{ readonly id: string }>;
};

export type KafkaSessions = AsyncDisposable & {
  /**
   * Runs `work` when all before it is done. What it throws comes out as a DocbusError; after a StaleTopic, and there only, it is run
   * a second time with the topic of now.
   */
  use<T>(what: string, deadlineMs: number, signal: AbortSignal, work: (session: KafkaSession, alive: () => void) => Promise<T>): Promise<T>;
};

/** The topic that a session knows was deleted, or has more partitions by now. */
export class StaleTopic extends Error {
  override readonly name = 'StaleTopic';
}

const OPEN_MS = 30_000;
/** Partitions may be added to a topic; nobody tells us. */
const REFRESH_MS = 60_000;

export function createKafkaSessions(options: KafkaLinkOptions & KafkaTopicOptions): KafkaSessions {
  const { topic: name, brokers, clock } = options;
  let session: KafkaSession | undefined;
  let refreshed = 0;
  const turns = createTurns(`the Kafka topic ${name}`);

  const current = async (signal: AbortSignal): Promise<KafkaSession> => {
    if (session !== undefined && !session.link.isBroken()) return session;
    const link = await openKafkaLink(options, signal);
    const topic = await link.run('looking at the topic', OPEN_MS, () => openKafkaTopic(link, options, signal), signal);
    const anyBroker = () => link.cluster.findBroker({ nodeId: link.cluster.getNodeIds()[0] ?? '' });
    const refresh = async () => {
      const { id, error, partitions } = await (await anyBroker()).connectionPool.send(metadataCall(name));
      if (error !== 0 || id !== topic.id || partitions.length !== topic.partitions.length) throw new StaleTopic();
      refreshed = clock.now();
      return { id };
    };
    refreshed = clock.now();
    session = { link, topic, brokerOf: (leader) => link.cluster.findBroker({ nodeId: String(leader) }), anyBroker, refresh };
    return session;
  };

  const once = async <T>(
    what: string,
    deadlineMs: number,
    signal: AbortSignal,
    work: (session: KafkaSession, alive: () => void) => Promise<T>,
  ): Promise<T> => {
    for (let isSecond = false; ; isSecond = true) {
      const used = await current(signal);
      try {
        const refreshAndWork = async (alive: () => void): Promise<T> => {
          if (clock.now() - refreshed > REFRESH_MS) await used.refresh();
          return await work(used, alive);
        };
        return await used.link.run(what, deadlineMs, refreshAndWork, signal);
      } catch (error) {
        if (!isStale(error)) throw error;
        if (isSecond)
          throw new DocbusError(
            'log_busy',
            `The brokers (${brokers.join(',')}) do not agree on the topic ${name} yet. It was just created or deleted.`,
            { cause: error },
          );
      }
    }
  };

  const use: KafkaSessions['use'] = async (what, deadlineMs, signal, work) =>
    await turns(signal, async () => await once(what, deadlineMs, signal, work));

  return { use, [Symbol.asyncDispose]: async () => await session?.link[Symbol.asyncDispose]() };
}

function isStale(error: unknown): boolean {
  const cause = error instanceof DocbusError ? error.cause : error;
  return cause instanceof StaleTopic || kafkaErrorType(cause) === 'UNKNOWN_TOPIC_OR_PARTITION';
}

const PASSING = new Set([
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'CONCURRENT_TRANSACTIONS',
]);

/** Repeats `work` while a coordinator is being set up, which takes seconds on a new cluster. The run it is in has the time limit. */
export async function patiently<T>(work: () => Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!PASSING.has(kafkaErrorType(error) ?? '') || signal.aborted) throw error;
      await clock.sleep(100, signal);
    }
  }
}
