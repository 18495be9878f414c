import { dlopen, read } from "bun:ffi";
import { type CLibrary, type ErrnoSymbol, toCString } from "../native.ts";

/** Throws if the library cannot be loaded. */
export function openCLibrary(path: string, errno: ErrnoSymbol): CLibrary {
  const { symbols } = dlopen(path, {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    send: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
    getrlimit: { args: ["i32", "ptr"], returns: "i32" },
    unsetenv: { args: ["ptr"], returns: "i32" },
  });
  const { symbols: errors } = dlopen(path, { [errno]: { args: [], returns: "ptr" } });
  return {
    socket: symbols.socket,
    connect: (fd, address) => symbols.connect(fd, address, address.length),
    listen: symbols.listen,
    send: (fd, bytes, flags) => Number(symbols.send(fd, bytes, bytes.length, flags)),
    close: symbols.close,
    getsockopt: symbols.getsockopt,
    setsockopt: (fd, level, name, value) => symbols.setsockopt(fd, level, name, value, value.length),
    clockGetTime: symbols.clock_gettime,
    getrlimit: symbols.getrlimit,
    unsetenv: (name) => symbols.unsetenv(toCString(name)),
    errno: () => read.i32(errors[errno]?.() ?? 0, 0),
  };
}
