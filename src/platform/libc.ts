import { openCLibrary } from "#runtime/native.ts";
import type { ErrnoSymbol } from "./runtime/native.ts";

/** Calls of the C library that neither Bun nor Node offers. Throws if the library cannot be loaded. */
export function openLibc(platform: string) {
  const system = SYSTEMS[platform];
  if (system === undefined) throw new Error(`${platform} has no Unix datagram sockets`);
  const { socketType, sendFlags, monotonicClock, openFiles } = system;
  const library = openCLibrary(system.library, system.errno);
  return {
    ...library,
    socket: () => library.socket(AF_UNIX, socketType, 0),
    send: (fd: number, bytes: Uint8Array) => library.send(fd, bytes, sendFlags),
    /** Fills a `timespec`. */
    monotonicTime: (timespec: BigInt64Array) => library.clockGetTime(monotonicClock, timespec),
    openFilesLimit: (limits: BigUint64Array) => library.getrlimit(openFiles, limits),
    addressOf: (path: string) => socketAddress(path, system),
  };
}

export type Libc = ReturnType<typeof openLibc>;

let found: Libc | "none" | undefined;

/** Returns undefined if the library cannot be loaded: Deno needs a permission to do so. */
export function findLibc(): Libc | undefined {
  found ??= tryOpenLibc();
  return found === "none" ? undefined : found;
}

function tryOpenLibc(): Libc | "none" {
  try {
    return openLibc(process.platform);
  } catch {
    return "none";
  }
}

/** What differs between operating systems. */
interface System {
  readonly library: string;
  readonly errno: ErrnoSymbol;
  /** The number of CLOCK_MONOTONIC. */
  readonly monotonicClock: number;
  /** The number of RLIMIT_NOFILE. */
  readonly openFiles: number;
  /** SOCK_DGRAM, with SOCK_CLOEXEC if the system has it. */
  readonly socketType: number;
  /** MSG_DONTWAIT, with MSG_NOSIGNAL if the system has it. */
  readonly sendFlags: number;
  /** The size of `sun_path`, including the terminating zero. */
  readonly pathBytes: number;
  /** Whether `@name` is an abstract socket, without a file. */
  readonly hasAbstractNames: boolean;
  /** The bytes before `sun_path`: the family, preceded by the total length on macOS. */
  readonly header: (length: number) => readonly [number, number];
}

const AF_UNIX = 1;

export const SYSTEMS: Readonly<Record<string, System>> = {
  linux: {
    // musl resolves this name to itself as well.
    library: "libc.so.6",
    errno: "__errno_location",
    monotonicClock: 1,
    openFiles: 7,
    socketType: 2 | 0x80000,
    sendFlags: 0x40 | 0x4000,
    pathBytes: 108,
    hasAbstractNames: true,
    header: () => [AF_UNIX, 0],
  },
  darwin: {
    library: "/usr/lib/libSystem.B.dylib",
    errno: "__error",
    monotonicClock: 6,
    openFiles: 8,
    socketType: 2,
    sendFlags: 0x80,
    pathBytes: 104,
    hasAbstractNames: false,
    header: (length) => [length, AF_UNIX],
  },
};

/** Returns the maximum length of a socket path in bytes; 0 on systems without Unix datagram sockets. */
export function maxSocketPathBytes(platform: string): number {
  return (SYSTEMS[platform]?.pathBytes ?? 1) - 1;
}

/** Returns a `sockaddr_un`. */
export function socketAddress(path: string, { pathBytes, hasAbstractNames, header }: System): Uint8Array {
  const address = Buffer.alloc(2 + pathBytes);
  address.set(header(address.length));
  const length = address.write(path, 2, pathBytes - 1);
  if (!hasAbstractNames || !path.startsWith("@")) return address;
  // An abstract name starts with a zero instead of the @ and has no terminating zero: further zeros would be part of it.
  address[2] = 0;
  return address.subarray(0, 2 + length);
}

let loaded: Libc | undefined;

/**
 * Returns the microseconds of the system's monotonic clock, which is the same for all processes. Bun's `process.hrtime` and
 * `performance.now` count from the start of the process instead. Throws if the C library cannot be loaded.
 */
export function monotonicUsec(): bigint {
  loaded ??= openLibc(process.platform);
  const timespec = new BigInt64Array(2);
  if (loaded.monotonicTime(timespec) !== 0) throw new Error("the system has no monotonic clock");
  const [seconds = 0n, nanoseconds = 0n] = timespec;
  return seconds * 1_000_000n + nanoseconds / 1_000n;
}

/** RLIM_INFINITY of macOS. That of Linux is higher. */
const UNLIMITED = 2n ** 63n - 1n;

/** Returns how many files and sockets the process may have open; infinity if there is no limit, or the system does not say. */
export function descriptorLimit(): number {
  try {
    loaded ??= openLibc(process.platform);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
  const limits = new BigUint64Array(2);
  const [soft = UNLIMITED] = loaded.openFilesLimit(limits) === 0 ? limits : [];
  return soft >= UNLIMITED ? Number.POSITIVE_INFINITY : Number(soft);
}
