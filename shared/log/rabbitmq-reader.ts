// Reading a stream: one consumer from the reader's position on, its deliveries in a bounded buffer. A position is the offset of the last
// record read and the mark of that record. We subscribe at that record itself: if it does not come first, the stream was cut, or lost its tail.
// Whether the end is reached is known from the broker: it sends what there is before it answers a question on the same channel.
import type { Channel, ConsumeMessage } from 'amqplib';
import { DocbusError } from '@docbus/core';
import { recordBytes } from './bounds.ts';
import type { LogEnd, Position, ReadLimits, ReadRecord } from './port.ts';
import { formatPosition, parsePosition, tailLost, type Place } from './position.ts';
import type { RabbitLink } from './rabbitmq-client.ts';
import { StreamGone } from './rabbitmq-errors.ts';
import { fromMessage, isIdentityKey, readHead, type Delivered, type StreamHead, type StreamOptions } from './rabbitmq-stream.ts';

/** Unacknowledged deliveries: the most that RabbitMQ sends ahead. */
const PREFETCH = 32;
/** Above this nothing is acknowledged, so that at most PREFETCH more records come. */
const BUFFER_BYTES_MAX = 8 << 20;
const SCHEME = 'amqp';

export type RabbitReader = {
  read(link: RabbitLink, after: Position | undefined, limits: ReadLimits): Promise<readonly ReadRecord[]>;
  end(link: RabbitLink, after: Position | undefined): Promise<LogEnd>;
  /** True while a broker pushes to us, so that `onArrival` will be called. */
  isSubscribed(): boolean;
};

type Subscription = {
  readonly link: RabbitLink;
  readonly channel: Channel;
  readonly head: StreamHead;
  /** where the reader is: the position of the last record given out */
  cursor: Position | undefined;
  readonly buffer: Delivered[];
  bytes: number;
  /** the offset of the last record that came, hidden ones included; one before the first where none came */
  last: number;
  unacknowledged: ConsumeMessage | undefined;
  problem: Error | undefined;
  /** the records given out last, so that the oldest that is not applied yet has a time */
  given: readonly { readonly offset: number; readonly time: number }[];
};

export function createRabbitReader(options: StreamOptions, onArrival: () => void, onIdentity: (identity: string) => void): RabbitReader {
  const { stream, name } = options;
  let current: Subscription | undefined;

  const placeOf = (position: Position, { identity }: StreamHead): Place => parsePosition(position, SCHEME, identity, name);
  const expired = (number: number, why: string): DocbusError =>
    new DocbusError(
      'position_expired',
      `${name} no longer holds what follows record ${number}: ${why}. Starting over from the first record.`,
    );

  const subscribe = async (link: RabbitLink, after: Position | undefined): Promise<Subscription> => {
    const old = current;
    current = undefined;
    if (old !== undefined && old.link === link && old.problem === undefined) await old.channel.close();
    const channel = await link.channel();
    await channel.prefetch(PREFETCH);
    const early: ConsumeMessage[] = [];
    let deliver = (message: ConsumeMessage): void => void early.push(message);
    let problem: Error | undefined;
    let fail = (error: Error): void => {
      problem = error;
    };
    channel.on('close', () => fail(new Error('channel closed')));
    const from = after === undefined ? 'first' : Number(after.split(':')[2]);
    await channel.consume(stream, (message) => (message === null ? fail(new StreamGone(`${stream} was deleted`)) : deliver(message)), {
      arguments: { 'x-stream-offset': Number.isSafeInteger(from) ? from : 'first' },
    });
    await channel.checkQueue(stream);
    // Looked at after subscribing: were the stream made anew in between, the subscription would have been cancelled.
    const head = await readHead(link, options);
    if (problem !== undefined) throw problem;
    onIdentity(head.identity);
    const place = after === undefined ? undefined : placeOf(after, head);
    if (place !== undefined) checkFirst(early[0], place, head);
    const subscription: Subscription = {
      link,
      channel,
      head,
      cursor: after,
      buffer: [],
      bytes: 0,
      last: place?.number ?? head.offset - 1,
      unacknowledged: undefined,
      problem: undefined,
      given: [],
    };
    fail = (error) => {
      subscription.problem ??= error;
      onArrival();
    };
    deliver = (message) => {
      try {
        accept(subscription, message);
      } catch (error) {
        fail(error as Error); // amqplib must not see it
      }
    };
    for (const message of early) deliver(message);
    current = subscription;
    return subscription;
  };

  /** `first` is what the broker sent first when asked for the record of the place. Streams lose records only at either end. */
  const checkFirst = (first: ConsumeMessage | undefined, { number, mark }: Place, head: StreamHead): void => {
    if (first === undefined) throw tailLost(name, number, 'it is shorter than it was');
    const found = fromMessage(first);
    if (found.offset > number && head.offset > number) {
      if (found.offset === number + 1) return;
      throw expired(number, `it was cut off (retention); the first record left is ${found.offset}`);
    }
    if (found.offset !== number || (mark !== '' && found.mark !== mark))
      throw tailLost(name, number, 'others were appended in their place');
  };

  const accept = (subscription: Subscription, message: ConsumeMessage): void => {
    const delivered = fromMessage(message);
    if (subscription.unacknowledged === undefined) queueMicrotask(() => acknowledge(subscription)); // once for all that came together
    subscription.unacknowledged = message;
    if (delivered.offset <= subscription.last) return; // the record at the position itself
    subscription.last = delivered.offset;
    if (isIdentityKey(delivered.key)) return;
    subscription.buffer.push(delivered);
    subscription.bytes += recordBytes(delivered);
    onArrival();
  };

  /** Acknowledging is asking for more: nothing is ever delivered twice by a stream. */
  const acknowledge = (subscription: Subscription): void => {
    const { unacknowledged, bytes, problem, channel, link } = subscription;
    if (unacknowledged === undefined || bytes >= BUFFER_BYTES_MAX || problem !== undefined || link.isBroken()) return;
    subscription.unacknowledged = undefined;
    channel.ack(unacknowledged, true);
  };

  /** The subscription at `after`, with at least one record in its buffer unless the end is reached. */
  const arriveAt = async (link: RabbitLink, after: Position | undefined, all = false): Promise<Subscription> => {
    const isThere = current !== undefined && current.cursor === after && (current.buffer.length > 0 || isAlive(current, link));
    const subscription = isThere ? (current as Subscription) : await subscribe(link, after);
    if (isAlive(subscription, link)) await catchUp(subscription, all);
    return subscription;
  };

  /** Until a record is there (or, with `all`, until the buffer is full), or until the end is reached. */
  const catchUp = async (subscription: Subscription, all: boolean): Promise<void> => {
    const isEnough = (): boolean => (all ? subscription.bytes >= BUFFER_BYTES_MAX : subscription.buffer.length > 0);
    for (let before = -2; !isEnough() && before !== subscription.last;) {
      before = subscription.last;
      acknowledge(subscription);
      await subscription.channel.checkQueue(stream);
      if (subscription.problem !== undefined) throw subscription.problem;
    }
  };

  const isAlive = (subscription: Subscription, link: RabbitLink): boolean =>
    subscription.link === link && subscription.problem === undefined;

  const read: RabbitReader['read'] = async (link, after, limits) => {
    const subscription = await arriveAt(link, after);
    const { buffer, head } = subscription;
    let count = 0;
    let bytes = 0;
    for (const record of buffer) {
      bytes += recordBytes(record);
      if (count === limits.recordsMax || (count > 0 && bytes > limits.bytesMax)) break;
      count += 1;
    }
    const taken = buffer.splice(0, count);
    for (const record of taken) subscription.bytes -= recordBytes(record);
    subscription.given = taken.map(({ offset, time }) => ({ offset, time }));
    acknowledge(subscription);
    if (buffer.length > 0) onArrival();
    const records = taken.map(({ offset, mark, ...record }) => ({
      ...record,
      position: formatPosition(SCHEME, head.identity, { number: offset, mark }),
    }));
    subscription.cursor = records.at(-1)?.position ?? subscription.cursor;
    return records;
  };

  const end: RabbitReader['end'] = async (link, after) => {
    if (current === undefined || current.cursor === after || !isAlive(current, link)) {
      const subscription = await arriveAt(link, after, true);
      const { buffer, last } = subscription;
      if (buffer.length === 0) return { records: 0, oldestTime: undefined };
      return { records: buffer.length + (await beyond(subscription, last)), oldestTime: buffer[0]?.time };
    }
    // Asked for another place than where the reader is: looked at from outside, so that the reader keeps its buffer.
    const subscription = current;
    await catchUp(subscription, true);
    const head = await readHead(link, options);
    if (subscription.problem !== undefined) throw subscription.problem;
    const number = after === undefined ? head.offset - (head.isIdentityRecord ? 0 : 1) : placeOf(after, head).number;
    if (number < head.offset - 1) throw expired(number, `it was cut off (retention); the first record left is ${head.offset}`);
    const last = subscription.last + (await beyond(subscription, subscription.last));
    if (number > last) throw tailLost(name, number, `it ends at ${last}`);
    const oldest = subscription.given.find(({ offset }) => offset > number) ?? subscription.buffer.find(({ offset }) => offset > number);
    return { records: last - number, oldestTime: last === number ? undefined : oldest?.time };
  };

  /** About how many records lie beyond the last that came: none, unless the buffer is full. RabbitMQ's count may be five seconds old. */
  const beyond = async ({ bytes, channel, head }: Subscription, last: number): Promise<number> => {
    if (bytes < BUFFER_BYTES_MAX) return 0;
    const { messageCount } = await channel.checkQueue(stream);
    return Math.max(head.offset + messageCount - 1 - last, 1);
  };

  return { read, end, isSubscribed: () => current !== undefined && isAlive(current, current.link) && !current.link.isBroken() };
}
