import {
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";

/** Aborted, with a StatusError, when the stream is to end although neither its client nor the relay does. */
const ENDING = createContextKey<AbortSignal | undefined>(undefined);

/** Returns what a call gets from its connection. */
export function withEnding(ending: AbortSignal): ContextValues {
  return createContextValues().set(ENDING, ending);
}

/** Returns the signal that ends a stream. */
export function streamSignal({ signal, values }: HandlerContext): AbortSignal {
  const ending = values.get(ENDING);
  return ending === undefined ? signal : AbortSignal.any([signal, ending]);
}
