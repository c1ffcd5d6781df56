// Is a broker there? Asked in its own protocol: a frozen process still takes connections, but says nothing.
import { createConnection } from 'node:net';

export type Greeting = 'refused' | 'silent' | 'answers';

const hellos = {
  // ApiVersions, version 0, without a client id
  kafka: Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]),
  rabbitmq: Buffer.from([...Buffer.from('AMQP'), 0, 0, 9, 1]),
};

const SILENCE_MS = 1_500;

export async function greet(protocol: keyof typeof hellos, port: number): Promise<Greeting> {
  const { promise, resolve } = Promise.withResolvers<Greeting>();
  const socket = createConnection({ host: '127.0.0.1', port }, () => void socket.write(hellos[protocol]));
  const silence = setTimeout(() => resolve('silent'), SILENCE_MS);
  socket
    .on('data', () => resolve('answers'))
    .on('error', () => resolve('refused'))
    .on('close', () => resolve('refused'));
  try {
    return await promise;
  } finally {
    clearTimeout(silence);
    socket.destroy();
  }
}
