// A TCP proxy between a client and a server, to cut, freeze and swallow: the faults of a network without touching the server.
import { createConnection, createServer, type Socket } from 'node:net';

/** Disposing it ends the proxy with all its connections. */
export type TcpProxy = AsyncDisposable & {
  readonly port: number;
  /** connections now */
  connections(): number;
  /** Ends every connection with a reset; new ones are taken. Returns how many. */
  cut(): number;
  /** While refusing, new connections are reset at once. */
  refuse(yes: boolean): void;
  /** While frozen, nothing passes in either direction, and nothing is closed. */
  freeze(yes: boolean): void;
  /** Called with what the server answers; true swallows it and resets the connection, so that the client never learns what became of its request. */
  onAnswer(swallow: ((bytes: Buffer) => boolean) | undefined): void;
};

/** `port` 0 takes a free one. */
export async function startProxy({ target, port = 0 }: { readonly target: () => number; readonly port?: number }): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let refusing = false;
  let frozen = false;
  let swallow: ((bytes: Buffer) => boolean) | undefined;
  const server = createServer((client) => {
    if (refusing) return void client.resetAndDestroy();
    const upstream = createConnection({ host: '127.0.0.1', port: target(), noDelay: true });
    client.setNoDelay(true);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    client.on('data', (bytes) => void upstream.write(bytes));
    upstream.on('data', (bytes) => (swallow?.(bytes) === true ? end() : void client.write(bytes)));
    if (frozen) for (const socket of pair) socket.pause();
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject).listen(port, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.');
  const cut = (): number => {
    const count = pairs.size;
    // Node 24 leaks the handle of a socket that is reset while it is being ended.
    for (const [client] of pairs)
      if (client.writableEnded) client.destroy();
      else client.resetAndDestroy();
    return count;
  };
  return {
    port: address.port,
    connections: () => pairs.size,
    cut,
    refuse: (yes) => {
      refusing = yes;
    },
    freeze: (yes) => {
      frozen = yes;
      for (const pair of pairs)
        for (const socket of pair)
          if (yes) socket.pause();
          else socket.resume();
    },
    onAnswer: (given) => {
      swallow = given;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      cut();
    },
  };
}
