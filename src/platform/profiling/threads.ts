/** The threads of this process that have been started and not ended, by what ends them. */
const threads = new Map<object, string>();

/** Called where a thread is started, so that a profile can say which thread did not reply. `owner` identifies the thread. */
export function threadStarted(owner: object, name: string): void {
  threads.set(owner, name);
}

export function threadEnded(owner: object): void {
  const name = threads.get(owner);
  threads.delete(owner);
  // Its replacement has the same name.
  for (const mark of marks) if (mark.name === name) marks.delete(mark);
}

/** One for each time that a thread is being examined. */
const marks = new Set<{ readonly name: string }>();

/**
 * Called before the heap of a thread is examined, which stops its event loop: for seconds, if the machine is overloaded or the heap is
 * large. The thread counts as examined until the result is disposed of, or until a thread of this name has ended.
 */
export function threadExamined(name: string): Disposable {
  const mark = { name };
  marks.add(mark);
  return { [Symbol.dispose]: () => marks.delete(mark) };
}

/** Whether a thread stands still because of a profile, so that this is no sign that it hangs. */
export function isExamined(name: string): boolean {
  return [...marks].some((mark) => mark.name === name);
}

/** Returns the names of the threads that run, as they join. A name occurs as often as threads have it. */
export function runningThreads(): readonly string[] {
  return [...threads.values()];
}
