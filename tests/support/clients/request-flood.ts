/** The number of responses by status. */
export type StatusCounts = ReadonlyMap<number, number>;

const STATUS_AT = "HTTP/1.1 ".length;

/**
 * Sends requests over kept connections, one at a time on each: Bun's server closes a connection on which a second request
 * arrives before the response to the first. Responses must be small enough to arrive in one chunk.
 */
export async function flood(
  url: string,
  requests: Iterator<string>,
  connections: number,
): Promise<StatusCounts> {
  const { hostname, port } = new URL(url);
  const statuses = new Map<number, number>();
  const sendAll = async (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const next = (socket: Bun.Socket<undefined>): void => {
      const { done, value } = requests.next();
      if (done !== true) socket.write(value);
      else {
        resolve();
        socket.end();
      }
    };
    await Bun.connect<undefined>({
      hostname,
      port: Number(port),
      socket: {
        open: next,
        data: (socket, chunk) => {
          const status = Number(chunk.toString("latin1", STATUS_AT, STATUS_AT + 3));
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          next(socket);
        },
        close: () => reject(new Error("the server closed the connection before it answered")),
        error: (_, error) => reject(error),
      },
    });
    await promise;
  };
  await Promise.all(Array.from({ length: connections }, sendAll));
  return statuses;
}
