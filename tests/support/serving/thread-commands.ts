import { preloadEnv } from "../common/preload.ts";

/** What a serving thread of a relay with the preload obeys, each as a request for `/test/<command>`. */
export const COMMANDS = [
  /** Responds with the name alone. */
  "name",
  /** Stops the event loop of the thread for ever. */
  "hang",
  /** Responds over HTTP/1.1, and then does the same. */
  "respond-and-hang",
  /** Throws an error that nothing catches. */
  "throw",
  /** Ends the thread. */
  "exit",
] as const;

export type Command = (typeof COMMANDS)[number];

/** The response header with the name of the thread, such as `http-1`. */
export const THREAD_HEADER = "x-thread";

/** The variables of a relay whose threads obey. */
export const THREAD_COMMANDS_ENV = preloadEnv(new URL("thread-commands-preload.ts", import.meta.url).href);
