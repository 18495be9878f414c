import { type Libc, openLibc } from "./libc.ts";

let loaded: Libc | undefined;

/**
 * Microseconds on the system's own monotonic clock, which every process of the machine reads alike. In Bun
 * `process.hrtime` and `performance.now` count from the start of the process instead. Throws where the C library
 * can't be loaded.
 */
export function monotonicUsec(): bigint {
  loaded ??= openLibc(process.platform);
  const timespec = new BigInt64Array(2);
  if (loaded.monotonicTime(timespec) !== 0) throw new Error("the system tells no monotonic time");
  const [seconds = 0n, nanoseconds = 0n] = timespec;
  return seconds * 1_000_000n + nanoseconds / 1_000n;
}
