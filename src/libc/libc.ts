import { dlopen, read } from "bun:ffi";
import { AF_UNIX, SYSTEMS, socketAddress } from "./systems.ts";

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
