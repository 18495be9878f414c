/** The threads of this process that have been started and not ended, by what ends them. */
const threads = new Map<object, string>();

/** Called where a thread is started, so that a profile can say which thread did not reply. `owner` identifies the thread. */
export function threadStarted(owner: object, name: string): void {
  threads.set(owner, name);
}

export function threadEnded(owner: object): void {
  threads.delete(owner);
}

/** How often threads of a name are being examined. */
const examined = new Map<string, number>();

/**
 * Called before the heap of a thread is examined, which stops its event loop: for seconds, if the machine is overloaded or the heap is
 * large. Dispose of the result afterwards.
 */
export function threadExamined(name: string): Disposable {
  examined.set(name, (examined.get(name) ?? 0) + 1);
  return {
    [Symbol.dispose]: () => {
      const rest = (examined.get(name) ?? 0) - 1;
      if (rest > 0) examined.set(name, rest);
      else examined.delete(name);
    },
  };
}

/** Whether a thread stands still because of a profile, so that this is no sign that it hangs. */
export function isExamined(name: string): boolean {
  return examined.has(name);
}

/** Returns the names of the threads that run, as they join. A name occurs as often as threads have it. */
export function runningThreads(): readonly string[] {
  return [...threads.values()];
}
