/**
 * What a promise rejects with; fails where it resolves. In place of `expect(promise).rejects`, which holds up
 * the event loop while it waits, so that an answer over HTTP/2 may never come.
 */
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`it did not fail, but gave ${String(value)}`);
    },
    (reason: unknown) => reason,
  );
