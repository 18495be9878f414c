/** The threads of this process that have been started and not ended, by what ends them. */
const threads = new Map<object, string>();

/** Called where a thread is started, so that a profile can say which thread did not reply. `owner` identifies the thread. */
export function threadStarted(owner: object, name: string): void {
  threads.set(owner, name);
}

export function threadEnded(owner: object): void {
  threads.delete(owner);
}

/** Returns the names of the threads that run, as they join. A name occurs as often as threads have it. */
export function runningThreads(): readonly string[] {
  return [...threads.values()];
}
