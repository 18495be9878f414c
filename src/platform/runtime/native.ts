/** Functions of the C library. Those that return a number return -1 if they fail, and {@link errno} says why. */
export interface CLibrary {
  socket(domain: number, type: number, protocol: number): number;
  connect(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  send(fd: number, bytes: Uint8Array, flags: number): number;
  close(fd: number): number;
  /** Fills `value` and sets `length` to the number of bytes that the kernel filled in. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** Fills a `timespec`: seconds and nanoseconds, 8 bytes each on every supported system. */
  clockGetTime(clock: number, timespec: BigInt64Array): number;
  /** Fills a `struct rlimit`: the soft limit and the hard limit, 8 bytes each on every supported system. */
  getrlimit(resource: number, limits: BigUint64Array): number;
  unsetenv(name: string): number;
  /** Must be read right after the failed call. */
  errno(): number;
}

/** The function that returns where `errno` is stored: the first is of Linux, the second of macOS. */
export type ErrnoSymbol = "__errno_location" | "__error";

/** Returns a text as C has it. */
export function toCString(text: string): Buffer<ArrayBuffer> {
  return Buffer.from(`${text}\0`);
}
