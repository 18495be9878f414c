import { dlopen } from "bun:ffi";
import { rmSync } from "node:fs";
import { openLibc } from "../../../src/platform/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = process.platform === "darwin" ? 0x80 : 0x40;
const MAX_DATAGRAM_BYTES = 65_536;

/** A Unix datagram socket of an agent. Its file exists while it listens. */
export class UnixDatagramListener implements Disposable {
  readonly path: string;
  readonly datagrams: string[] = [];
  readonly #libc = dlopen(process.platform === "darwin" ? "libSystem.dylib" : "libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
  }).symbols;
  #fd: number;
  readonly #bytes = Buffer.alloc(MAX_DATAGRAM_BYTES);
  readonly #reading: NodeJS.Timeout | undefined;

  constructor(path: string, { reads = true }: { readonly reads?: boolean } = {}) {
    this.path = path;
    const address = openLibc(process.platform).addressOf(path);
    this.#fd = this.#libc.socket(AF_UNIX, SOCK_DGRAM, 0);
    if (this.#libc.bind(this.#fd, address, address.length) !== 0) throw new Error(`cannot bind ${path}`);
    if (reads) this.#reading = setInterval(() => this.read(), 2);
  }

  /** Reads all datagrams that have arrived. */
  read(): void {
    for (;;) {
      const length = Number(this.#libc.recv(this.#fd, this.#bytes, this.#bytes.length, MSG_DONTWAIT));
      if (length < 0) return;
      this.datagrams.push(this.#bytes.toString("utf8", 0, length));
    }
  }

  /** Closes the socket but leaves its file, as a crash does. */
  crash(): void {
    clearInterval(this.#reading);
    // Only once: the number of the descriptor may be reused.
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.crash();
    rmSync(this.path, { force: true });
  }
}
