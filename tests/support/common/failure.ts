/**
 * Resolves with the reason of a rejection, and rejects if the promise resolves. Use it instead of `expect(promise).rejects`,
 * which blocks the event loop while it waits, so that a response over HTTP/2 may never arrive.
 */
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`expected a rejection, got ${String(value)}`);
    },
    (reason: unknown) => reason,
  );
