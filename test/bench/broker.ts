// The log that a bench measures on: a file, a broker that is started for it, or one that is named by its URL.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { startKafka } from '../servers/kafka.ts';
import { startRabbit } from '../servers/rabbitmq.ts';

export const logKinds = ['sqlite', 'kafka', 'rabbitmq'] as const;
export type LogKind = (typeof logKinds)[number];

/** `address`: where the bare client connects; '' for a file. */
export type BenchLog = AsyncDisposable & {
  readonly kind: string;
  readonly address: string;
  /** A new and empty log each time. `place` is a directory of its own. */
  readonly url: (place: string) => string;
};

/** `asked`: a kind, or a URL in which {run} becomes another word for each log that is needed. */
export async function openBenchLog(asked: string, directory: string, signal: AbortSignal): Promise<BenchLog> {
  const kept = async (): Promise<void> => {};
  switch (asked) {
    case 'sqlite':
      return { kind: asked, address: '', url: (place) => `sqlite:${join(place, 'log.db')}`, [Symbol.asyncDispose]: kept };
    case 'kafka': {
      const server = await startKafka({ directory: join(directory, 'kafka'), signal });
      return {
        kind: asked,
        address: server.address,
        url: () => `kafka://${server.address}/docbus-${randomUUID()}?check=false`,
        [Symbol.asyncDispose]: () => server.stop(),
      };
    }
    case 'rabbitmq': {
      const server = await startRabbit({ directory: join(directory, 'rabbitmq'), signal });
      return {
        kind: asked,
        address: server.url,
        url: () => `${server.url}?stream=docbus-${randomUUID()}`,
        [Symbol.asyncDispose]: () => server.stop(),
      };
    }
    default:
      return {
        kind: asked.split(':')[0] ?? '',
        address: '',
        url: () => asked.replaceAll('{run}', randomUUID().slice(0, 8)),
        [Symbol.asyncDispose]: kept,
      };
  }
}
