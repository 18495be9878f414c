import { dlopen, read } from "bun:ffi";

/** What the relay needs of the C library, and neither Bun nor Node has. Throws where it can't be loaded. */
export function openLibc(platform: string) {
  const system = SYSTEMS[platform];
  if (system === undefined) throw new Error(`${platform} has no Unix datagram sockets`);
  const { symbols } = dlopen(system.library, {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
    send: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  });
  const { symbols: errors } = dlopen(system.library, { [system.errno]: { args: [], returns: "ptr" } });
  const { socketType, sendFlags, monotonicClock } = system;
  return {
    socket: () => symbols.socket(AF_UNIX, socketType, 0),
    connect: (fd: number, address: Uint8Array) => symbols.connect(fd, address, address.length),
    send: (fd: number, bytes: Uint8Array) => Number(symbols.send(fd, bytes, bytes.length, sendFlags)),
    close: (fd: number) => symbols.close(fd),
    /** Fills `value`, and sets `length` to as much of it as the kernel has. */
    getsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array) =>
      symbols.getsockopt(fd, level, name, value, length),
    setsockopt: (fd: number, level: number, name: number, value: Uint8Array) =>
      symbols.setsockopt(fd, level, name, value, value.length),
    /** Fills a `timespec`: seconds and nanoseconds, 8 bytes each on every system that there is a relay for. */
    monotonicTime: (timespec: BigInt64Array) => symbols.clock_gettime(monotonicClock, timespec),
    /** To be read right after the call that failed. */
    errno: () => read.i32(errors[system.errno]?.() ?? 0, 0),
    addressOf: (path: string) => socketAddress(path, system),
  };
}

export type Libc = ReturnType<typeof openLibc>;

/** What is not the same everywhere. */
interface System {
  readonly library: string;
  readonly errno: "__errno_location" | "__error";
  /** CLOCK_MONOTONIC, by its number. */
  readonly monotonicClock: number;
  /** SOCK_DGRAM, and SOCK_CLOEXEC where there is that. */
  readonly socketType: number;
  /** MSG_DONTWAIT, and MSG_NOSIGNAL where there is that. */
  readonly sendFlags: number;
  /** `sun_path`, with the zero at its end. */
  readonly pathBytes: number;
  /** Names without a file: `@name`. */
  readonly hasAbstractNames: boolean;
  /** What goes before `sun_path`: the family, on macOS after the length of all. */
  readonly header: (length: number) => readonly [number, number];
}

const AF_UNIX = 1;

export const SYSTEMS: Readonly<Record<string, System>> = {
  linux: {
    // musl takes every name of the C library for its own, this one too.
    library: "libc.so.6",
    errno: "__errno_location",
    monotonicClock: 1,
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
    socketType: 2,
    sendFlags: 0x80,
    pathBytes: 104,
    hasAbstractNames: false,
    header: (length) => [length, AF_UNIX],
  },
};

/** A path of more bytes fits into no address. 0 where there are no Unix datagram sockets. */
export function maxSocketPathBytes(platform: string): number {
  return (SYSTEMS[platform]?.pathBytes ?? 1) - 1;
}

/** A `sockaddr_un`. */
export function socketAddress(path: string, { pathBytes, hasAbstractNames, header }: System): Uint8Array {
  const address = Buffer.alloc(2 + pathBytes);
  address.set(header(address.length));
  const length = address.write(path, 2, pathBytes - 1);
  if (!hasAbstractNames || !path.startsWith("@")) return address;
  // A zero in the place of the @, and an end where the name ends: further zeros would belong to it.
  address[2] = 0;
  return address.subarray(0, 2 + length);
}

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
