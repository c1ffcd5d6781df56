// Talks to agents over HTTP. Answers are parsed, failures become errors that name the agent and what to do.
import { DocbusError } from '@docbus/core';
import { hidePasswords, type Environment } from '@docbus/runtime';
import { z } from 'zod';
import { wrongUsage } from './command.ts';

const TIMEOUT_MS = 10_000;
const defaultAddress = '127.0.0.1:4510';

const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

export type AgentClient = {
  readonly url: string;
  get<T>(path: string, schema: z.ZodType<T>): Promise<T>;
  /** Sends DOCBUS_TOKEN where it is set. */
  post<T>(path: string, body: unknown, schema: z.ZodType<T>): Promise<T>;
};

/** Where the agent is: `said` (an option), else where this environment's own agent would answer. */
export function agentUrl(command: string, said: string | undefined, environment: Environment): string {
  const text = said ?? (environment['DOCBUS_HTTP'] || defaultAddress);
  const url = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw wrongUsage(command, `${text} is not the address of an agent, for example http://${defaultAddress}.`);
  return url.replace(/\/+$/, '');
}

export function openAgent(url: string, environment: Environment, signal: AbortSignal): AgentClient {
  const name = hidePasswords(url);

  async function send<T>(method: 'GET' | 'POST', path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    const token = method === 'POST' ? environment['DOCBUS_TOKEN'] : undefined;
    const request: RequestInit = {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined || token === '' ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    };
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${url}${path}`, request);
      text = await response.text();
    } catch (error) {
      signal.throwIfAborted();
      throw new DocbusError(
        'agent_unreachable',
        `No agent answers at ${name}. Check that it runs and that the address is right (--agent, DOCBUS_HTTP)`,
        { cause: error },
      );
    }
    const value = parseJson(text);
    if (!response.ok) throw refused(name, response.status, value);
    const parsed = schema.safeParse(value);
    if (!parsed.success)
      throw new DocbusError('agent_refused', `What answers at ${name}${path} is not an agent of this version of docbus.`, {
        cause: parsed.error,
      });
    return parsed.data;
  }

  return {
    url,
    get: (path, schema) => send('GET', path, undefined, schema),
    post: (path, body, schema) => send('POST', path, body, schema),
  };
}

function refused(name: string, status: number, value: unknown): DocbusError {
  const parsed = errorSchema.safeParse(value);
  const words = parsed.success ? parsed.data.error.message : `It answered ${status}, which is no answer of an agent.`;
  return new DocbusError('agent_refused', `The agent at ${name} refused. ${words}`);
}

/** undefined for what is no JSON; the schema refuses it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
