/**
 * Loaded into a relay by `--preload`: each serving thread says its name and obeys commands, which are paths of requests over
 * plaintext HTTP/1.1, and of RPCs. No other request is changed, except that responses over HTTP/2 have the name in a header.
 */
import http2, { type ServerHttp2Stream } from "node:http2";
import { COMMANDS, type Command, THREAD_HEADER } from "./thread-commands.ts";

let name = "";

function obey(command: Command): void {
  switch (command) {
    case "name":
      return;
    case "hang":
      while (true);
    case "throw":
      setTimeout(() => {
        throw new RangeError("made up");
      }, 0);
      return;
    case "exit":
      process.exit(0);
  }
}

function findCommand(path: string | undefined): Command | undefined {
  return COMMANDS.find((command) => path === `/test/${command}`);
}

/** `Bun.listen`, as far as it is used here. */
interface Listening {
  readonly socket: { data: (socket: Bun.Socket, bytes: Uint8Array) => void };
}

function patchHttp1(): void {
  const { listen } = Bun;
  const patched = (options: Listening) => {
    const { data } = options.socket;
    options.socket.data = (socket, bytes) => {
      const [, path] = /^GET (\S+)/.exec(Buffer.from(bytes).toString("latin1")) ?? [];
      const command = findCommand(path);
      if (command === undefined) return data(socket, bytes);
      obey(command);
      socket.write(`HTTP/1.1 200 OK\r\n${THREAD_HEADER}: ${name}\r\nContent-Length: 0\r\n\r\n`);
    };
    return Reflect.apply(listen, Bun, [options]);
  };
  Object.defineProperty(Bun, "listen", { value: patched });
}

function patchHttp2(): void {
  for (const create of ["createServer", "createSecureServer"] as const) {
    const original = http2[create] as (...args: unknown[]) => NodeJS.EventEmitter;
    const patched = (...args: unknown[]) => {
      const server = original(...args);
      const emit = server.emit.bind(server);
      server.emit = (event: string, ...details: unknown[]) => {
        if (event === "stream") {
          const [stream, headers] = details as [ServerHttp2Stream, Record<string, string>];
          const command = findCommand(headers[":path"]);
          if (command !== undefined) obey(command);
          showName(Object.getPrototypeOf(stream));
        }
        return emit(event, ...details);
      };
      return server;
    };
    Object.defineProperty(http2, create, { value: patched });
  }
}

const shown = new WeakSet<object>();

/** Streams of one prototype respond with the name from now on. */
function showName(prototype: ServerHttp2Stream): void {
  if (shown.has(prototype)) return;
  shown.add(prototype);
  const { respond } = prototype;
  prototype.respond = function (headers, options) {
    respond.call(this, { ...headers, [THREAD_HEADER]: name }, options);
  };
}

/** The first message of the control plane has the name. */
function learnName({ data }: MessageEvent): void {
  if (!Array.isArray(data)) return;
  for (const message of data) if (message.kind === "set_up") name = message.setup.name;
}

if (Bun.isMainThread) {
  let isBroken = false;
  process.on("SIGUSR2", () => (isBroken = !isBroken));
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      const isServing = String(script).includes("serving-worker");
      // A Worker does not load what `--preload` names.
      super(script, isServing ? { ...options, preload: import.meta.path } : options);
      if (isServing && isBroken) this.terminate();
    }
  };
} else {
  globalThis.addEventListener("message", learnName);
  patchHttp1();
  patchHttp2();
}
