// kafkajs' errors and Kafka's error codes in our words: what happened, to what, and what to do about it.
import { DocbusError, isDocbusError, reasonOf, type ErrorCode } from '@docbus/core';
import { UnreadableBatch } from './kafka-protocol.ts';

/** For messages. */
export type KafkaNames = {
  readonly brokers: string;
  readonly topic: string | undefined;
  readonly username: string | undefined;
  readonly clientId: string;
};

/** Error codes of partitions and topics that we look at by number (kafkajs does not know the newest). */
export const OFFSET_OUT_OF_RANGE = 1;
export const UNKNOWN_TOPIC_OR_PARTITION = 3;
export const UNKNOWN_TOPIC_ID = 100;
export const INCONSISTENT_TOPIC_ID = 103;

const TYPES_BY_CODE: Readonly<Record<number, string>> = {
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  7: 'REQUEST_TIMED_OUT',
  9: 'REPLICA_NOT_AVAILABLE',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  56: 'KAFKA_STORAGE_ERROR',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
};

/** An error code that Kafka put on a partition or a topic, as kafkajs would throw it. */
export function errorOfCode(code: number): Error {
  const type = TYPES_BY_CODE[code] ?? `error code ${code}`;
  return Object.assign(new Error(type), { name: 'KafkaJSProtocolError', type, retriable: code !== 29 });
}

type KafkajsError = Error & {
  readonly type?: string;
  readonly code?: unknown;
  readonly retriable?: boolean;
  readonly errors?: readonly KafkajsError[];
};

/** `type` of a kafkajs error, or of what it wraps. */
export function kafkaErrorType(error: unknown): string | undefined {
  return error instanceof Error ? innermost(error).type : undefined;
}

export function kafkaError(error: unknown, names: KafkaNames): DocbusError {
  if (isDocbusError(error)) return error;
  const found = error instanceof Error ? innermost(error) : undefined;
  if (found === undefined)
    return new DocbusError('log_unreachable', `Kafka (${names.brokers}) failed: ${String(error)}.`, { cause: error });
  const [code, message] = describe(found, names);
  return new DocbusError(code, message, { cause: error });
}

/** kafkajs wraps: KafkaJSNumberOfRetriesExceeded and KafkaJSNonRetriableError around a cause, KafkaJSAggregateError around a list. */
function innermost(error: KafkajsError): KafkajsError {
  const [first] = error.errors ?? [];
  if (first !== undefined) return innermost(first);
  const isWrapper = error.name === 'KafkaJSNumberOfRetriesExceeded' || error.name === 'KafkaJSNonRetriableError';
  return isWrapper && error.cause instanceof Error ? innermost(error.cause) : error;
}

function describe(error: KafkajsError, names: KafkaNames): readonly [ErrorCode, string] {
  const { brokers, topic, username, clientId } = names;
  const at = `Kafka (${brokers})`;
  const reason = reasonOf(error).replaceAll(/\s+/g, ' ').trim();
  const who = username === undefined ? 'ANONYMOUS' : username;
  const acl = `kafka-acls.sh --bootstrap-server ${brokers} --add --allow-principal User:${who}`;
  switch (error.type) {
    case 'SASL_AUTHENTICATION_FAILED':
      return ['log_refused', `${at} refused the user ${who}: ${reason}. Check user name and password in the log's URL.`];
    case 'UNSUPPORTED_SASL_MECHANISM':
      return [
        'log_refused',
        `${at} does not offer this way to log in: ${reason}. Set sasl=plain, scram-sha-256 or scram-sha-512 in the log's URL as the broker has it.`,
      ];
    case 'ILLEGAL_SASL_STATE':
      return [
        'log_refused',
        `${at} does not expect a login on this port: ${reason}. Use the broker's SASL listener, or leave user and password out of the log's URL.`,
      ];
    case 'TOPIC_AUTHORIZATION_FAILED':
      return [
        'log_refused',
        `${at} does not let ${who} use the topic ${topic}. Allow it: ${acl} --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic ${topic}`,
      ];
    case 'CLUSTER_AUTHORIZATION_FAILED':
      return [
        'log_refused',
        `${at} does not let ${who} write idempotently or create the topic ${topic}. Allow it: ${acl} --operation IdempotentWrite --operation Create --cluster`,
      ];
    case 'GROUP_AUTHORIZATION_FAILED':
      return [
        'log_refused',
        `${at} does not let ${who} commit offsets of its group. Allow it: ${acl} --operation Read --group docbus. --resource-pattern-type prefixed`,
      ];
    case 'POLICY_VIOLATION':
    case 'INVALID_CONFIG':
    case 'INVALID_REPLICATION_FACTOR':
    case 'INVALID_PARTITIONS':
    case 'INVALID_TOPIC_EXCEPTION':
      return [
        'log_refused',
        `${at} refuses the topic ${topic} as docbus would create it: ${reason}. Create it yourself (DECISIONS of docbus: cleanup.policy=compact), or name another in the log's URL.`,
      ];
    case 'OUT_OF_ORDER_SEQUENCE_NUMBER':
    case 'DUPLICATE_SEQUENCE_NUMBER':
    case 'UNKNOWN_PRODUCER_ID':
    case 'INVALID_PRODUCER_EPOCH':
      return ['log_busy', `${at} has lost track of what was appended to the topic ${topic} (${error.type}). It is appended again.`];
    case 'NOT_ENOUGH_REPLICAS':
    case 'NOT_ENOUGH_REPLICAS_AFTER_APPEND':
      return [
        'log_busy',
        `${at} has fewer brokers in sync than min.insync.replicas of the topic ${topic} wants, so nothing can be appended. Start the missing brokers.`,
      ];
    case 'INVALID_TIMESTAMP':
      return [
        'log_refused',
        `${at} refuses the time of this replica's records; its clock is wrong, or the topic ${topic} is too strict (message.timestamp.*).`,
      ];
    case 'UNSUPPORTED_VERSION':
      return ['log_refused', `${at} does not speak a version of the protocol that docbus does: ${reason}. Kafka 3.1 or newer is needed.`];
    case 'CORRUPT_MESSAGE':
      return ['log_corrupt', `${at} reports a damaged record in the topic ${topic}: ${reason}. Look into the broker's log.`];
    case undefined:
      break;
    default:
      return [error.retriable === false ? 'log_refused' : 'log_busy', `${at} answered ${error.type} for the topic ${topic}: ${reason}.`];
  }
  if (error instanceof UnreadableBatch)
    return [
      'log_refused',
      `The topic ${topic} of ${at} holds what docbus cannot read: ${reason}. Set its compression: kafka-configs.sh --bootstrap-server ${brokers} --alter --entity-type topics --entity-name ${topic} --add-config compression.type=producer`,
    ];
  if (error instanceof RangeError) return ['log_corrupt', `${at} gave an answer that is no Kafka answer: ${reason}.`];
  if (error.name === 'KafkaJSServerDoesNotSupportApiKey')
    return ['log_refused', `${at} is too old or no Kafka: ${reason}. Kafka 3.1 or newer is needed.`];
  if (error.name === 'KafkaJSSASLAuthenticationError' && !/closed|connect|timeout/i.test(reason))
    return ['log_refused', `${at} refused the user ${who}: ${reason}. Check user name, password and sasl= in the log's URL.`];
  if (error.name === 'KafkaJSConnectionClosedError' || /closed connection/i.test(reason))
    return [
      'log_unreachable',
      `${at} closed the connection of ${clientId} without a word. It restarts, or this port wants TLS (tls=true) or a login (user:password@) or neither.`,
    ];
  if (/certificate|self.signed|SSL|TLS|ERR_TLS|wrong version number|alert/i.test(`${reason} ${String(error.code)}`))
    return [
      'log_refused',
      `The TLS connection to ${at} failed: ${reason}. Check ca=, cert= and key= in the log's URL, and whether this port speaks TLS.`,
    ];
  return ['log_unreachable', `${at} cannot be reached: ${reason}. It is tried again.`];
}
