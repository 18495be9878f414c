/** What this folder uses of Deno. The project's types are those of Bun, which has the rest in common with Deno. */
declare namespace Deno {
  const version: { readonly deno: string };

  const errors: {
    readonly BadResource: ErrorConstructor;
    readonly Interrupted: ErrorConstructor;
    readonly NotCapable: ErrorConstructor;
  };

  interface NetAddr {
    readonly hostname: string;
    readonly port: number;
  }

  interface ListenOptions {
    readonly hostname: string;
    readonly port: number;
    readonly reusePort: boolean;
    /** How many connections may wait to be accepted. */
    readonly tcpBacklog: number;
  }

  interface Listener {
    readonly addr: NetAddr;
    accept(): Promise<TcpConn>;
    close(): void;
  }

  interface TcpConn {
    readonly localAddr: NetAddr;
    readonly remoteAddr: NetAddr;
    /** Resolves with null at the end of what the peer sends. */
    read(buffer: Uint8Array): Promise<number | null>;
    write(bytes: Uint8Array): Promise<number>;
    closeWrite(): Promise<void>;
    close(): void;
    setNoDelay(noDelay: boolean): void;
    setKeepAlive(keepAlive: boolean): void;
  }

  function listen(options: ListenOptions): Listener;

  interface ForeignFunction {
    readonly parameters: readonly ("i32" | "u32" | "usize" | "buffer")[];
    readonly result: "i32" | "isize" | "pointer";
  }

  interface DynamicLibrary {
    readonly symbols: Readonly<Record<string, (...values: readonly unknown[]) => unknown>>;
  }

  function dlopen(path: string, symbols: Readonly<Record<string, ForeignFunction>>): DynamicLibrary;

  class UnsafePointerView {
    constructor(pointer: unknown);
    getInt32(): number;
  }
}
