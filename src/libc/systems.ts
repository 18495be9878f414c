/** What is not the same everywhere. */
export interface System {
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

export const AF_UNIX = 1;

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
