/** What came of asking a relay whether it is ready. */
export type Answer =
  | { readonly kind: "ready"; readonly note?: string }
  | { readonly kind: "not_ready"; readonly reason: string }
  /** Nobody listens there. */
  | { readonly kind: "nobody" }
  | { readonly kind: "failed"; readonly reason: string };

/** Of an error of the network, or of the time limit. */
export function answerOf(error: unknown): Answer {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return { kind: "nobody" };
  if (name === "AbortError" || name === "TimeoutError")
    return { kind: "failed", reason: "no answer in time" };
  return { kind: "failed", reason: code ?? message.split("\n", 1)[0] ?? "unknown error" };
}
