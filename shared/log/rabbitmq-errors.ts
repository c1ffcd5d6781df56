// amqplib's errors and RabbitMQ's reply codes in our words: what happened, to what, and what to do about it.
import { DocbusError, isDocbusError, reasonOf, type ErrorCode } from '@docbus/core';
import type { RabbitSettings } from './rabbitmq-url.ts';

type AmqpError = Error & { readonly code?: unknown };

export const ACCESS_REFUSED = 403;
export const NOT_FOUND = 404;
export const PRECONDITION_FAILED = 406;
/** RabbitMQ failed within itself, and ends the connection: so it does to whoever uses a stream that somebody else is just making. */
export const INTERNAL_ERROR = 541;

/** The stream that a session was opened on is gone. */
export function isGone(error: unknown): boolean {
  const cause = isDocbusError(error) ? error.cause : error;
  return cause instanceof StreamGone || (codeOf(cause) === NOT_FOUND && !isNotReady(cause));
}

export class StreamGone extends Error {
  override readonly name = 'StreamGone';
}

/** For some moments after it was made, or its broker was started, a stream cannot be used. */
export function isNotReady(error: unknown): boolean {
  return (
    error instanceof Error &&
    /is down or inaccessible|have a replica on the local node|no process|noproc/i.test(error.message) &&
    codeOf(error) !== ACCESS_REFUSED
  );
}

/** Errors of channels that were closed under a call say nothing; the reason came as an event before. */
export function isEmptyWord(error: unknown): boolean {
  return error instanceof Error && /^(Channel ended|channel closed|Channel clos|Connection clos|message nacked)/i.test(error.message);
}

export function codeOf(error: unknown): unknown {
  return error instanceof Error ? (error as AmqpError).code : undefined;
}

export function rabbitError(error: unknown, { hosts, username = 'guest', vhost, stream }: RabbitSettings): DocbusError {
  if (isDocbusError(error)) return error;
  const at = `RabbitMQ (${hosts.join(',')})`;
  const reason = reasonOf(error).replaceAll(/\s+/g, ' ').trim();
  const [code, message] = describe();
  return new DocbusError(code, message, { cause: error });

  function describe(): readonly [ErrorCode, string] {
    if (/Handshake terminated by server: 403|ACCESS_REFUSED - Login/i.test(reason))
      return [
        'log_refused',
        `${at} refused the user ${username}. Check user name and password in the log's URL (guest may only come from the broker's own machine).`,
      ];
    if (/Expected ConnectionOpenOk/i.test(reason) || codeOf(error) === 530)
      return [
        'log_refused',
        `${at} has no virtual host ${vhost}, or ${username} may not use it: rabbitmqctl add_vhost ${vhost}; rabbitmqctl set_permissions -p ${vhost} ${username} '.*' '.*' '.*'`,
      ];
    if (/mechanism .* is not provided/i.test(reason))
      return ['log_refused', `${at} offers no login with user name and password: ${reason}.`];
    if (/certificate|self.signed|SSL|ERR_TLS|wrong version number|alert/i.test(`${reason} ${String(codeOf(error))}`))
      return [
        'log_refused',
        `The TLS connection to ${at} failed: ${reason}. Check ca=, cert= and key= in the log's URL, and whether this port speaks TLS.`,
      ];
    if (isNotReady(error))
      return [
        'log_busy',
        `The stream ${stream} of ${at} is not ready: ${reason}. It is tried again; if it stays so, name a node that holds a replica of it.`,
      ];
    switch (codeOf(error)) {
      case ACCESS_REFUSED:
        return [
          'log_refused',
          `${at} does not let ${username} use the stream ${stream}: ${reason}. Allow it: rabbitmqctl set_permissions -p ${vhost} ${username} '^${stream}$' '^(${stream}|amq\\.default)$' '^${stream}$'`,
        ];
      case NOT_FOUND:
        return ['log_busy', `The stream ${stream} of ${at} is not there at the moment: ${reason}. It is looked for again.`];
      case PRECONDITION_FAILED:
        return describeRefusal();
      case INTERNAL_ERROR:
        return ['log_busy', `${at} failed within itself (541); its own log says why. It is tried again.`];
      case 405:
        return [
          'log_refused',
          `Somebody else holds the queue ${stream} of ${at} for himself: ${reason}. Name another stream in the log's URL.`,
        ];
      case 320:
        return ['log_unreachable', `${at} is being shut down: ${reason}. It is tried again.`];
      default:
        break;
    }
    if (error instanceof StreamGone) return ['log_busy', `The stream ${stream} of ${at} was deleted. It is looked for again.`];
    if (/Socket closed abruptly|Unexpected close|ECONNRESET|EPIPE/i.test(reason))
      return ['log_unreachable', `${at} closed the connection: ${reason}. It restarts, or this port wants TLS (amqps:).`];
    if (/Heartbeat timeout/i.test(reason))
      return ['log_unreachable', `${at} stopped answering (no heartbeat). Look whether it is frozen. It is tried again.`];
    return ['log_unreachable', `${at} cannot be reached: ${reason}. It is tried again.`];
  }

  function describeRefusal(): readonly [ErrorCode, string] {
    const argument = /inequivalent arg '([^']+)'/.exec(reason)?.[1];
    if (argument !== undefined)
      return [
        'log_refused',
        `${at} has a queue ${stream} that differs from what the log's URL says (${argument}): ${reason}. Docbus needs a durable stream; make the settings equal (max-age, max-bytes, segment-bytes, replicas), or name another stream.`,
      ];
    if (/message size|max size/i.test(reason))
      return ['record_too_large', `${at} does not take a record of this size: ${reason}. Raise max_message_size in rabbitmq.conf.`];
    if (/acknowledgement on channel .* timed out|consumer ack timed out/i.test(reason))
      return ['log_busy', `${at} ended a reading that stood still for too long. It goes on.`];
    return ['log_refused', `${at} refuses to use ${stream} as a stream: ${reason}. Name another stream in the log's URL.`];
  }
}
