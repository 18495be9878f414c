import { type CLibrary, type ErrnoSymbol, toCString } from "../native.ts";

/** Throws if the library cannot be loaded, or without the permission `--allow-ffi`. */
export function openCLibrary(path: string, errno: ErrnoSymbol): CLibrary {
  const { symbols } = Deno.dlopen(path, {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    listen: { parameters: ["i32", "i32"], result: "i32" },
    send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
    setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
    clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
    getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    unsetenv: { parameters: ["buffer"], result: "i32" },
    [errno]: { parameters: [], result: "pointer" },
  });
  const call = (name: string, ...values: readonly unknown[]) => Number(symbols[name]?.(...values));
  return {
    socket: (...values) => call("socket", ...values),
    connect: (fd, address) => call("connect", fd, address, address.length),
    listen: (fd, backlog) => call("listen", fd, backlog),
    send: (fd, bytes, flags) => call("send", fd, bytes, BigInt(bytes.length), flags),
    close: (fd) => call("close", fd),
    getsockopt: (...values) => call("getsockopt", ...values),
    setsockopt: (fd, level, name, value) => call("setsockopt", fd, level, name, value, value.length),
    clockGetTime: (clock, timespec) => call("clock_gettime", clock, timespec),
    getrlimit: (resource, limits) => call("getrlimit", resource, limits),
    unsetenv: (name) => call("unsetenv", toCString(name)),
    errno: () => new Deno.UnsafePointerView(symbols[errno]?.()).getInt32(),
  };
}
