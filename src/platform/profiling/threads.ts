/** A thread that was started. Its state changes. */
export interface StartedThread {
  readonly name: string;
  /** It ends after its work, or is lost: it died, or hung and was ended. */
  readonly state: "runs" | "ended" | "lost";
}

/** The threads of this process that run, by what ends them. */
const threads = new Map<object, StartedThread & { state: StartedThread["state"] }>();

/** Called where a thread is started, so that a profile can say which thread did not reply. `owner` identifies the thread. */
export function threadStarted(owner: object, name: string): void {
  threads.set(owner, { name, state: "runs" });
}

/** Called when a thread is not needed any more. */
export function threadEnded(owner: object): void {
  remove(owner, "ended");
}

/** Called when a thread has died, or is ended because it hangs. Its replacement has the same name. */
export function threadLost(owner: object): void {
  remove(owner, "lost");
}

function remove(owner: object, state: StartedThread["state"]): void {
  const thread = threads.get(owner);
  if (thread === undefined) return;
  thread.state = state;
  threads.delete(owner);
  for (const mark of marks) if (mark.name === thread.name) marks.delete(mark);
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

/** Returns the threads that run. */
export function runningThreads(): readonly StartedThread[] {
  return [...threads.values()];
}
