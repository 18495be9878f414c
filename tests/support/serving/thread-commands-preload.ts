/**
 * Loaded into a relay by `--preload`: each serving thread says its name and obeys commands, which are paths of requests over
 * plaintext HTTP/1.1, and of RPCs. No other request is changed, except that responses over HTTP/2 have the name in a header.
 */
import http2, { type ServerHttp2Stream } from "node:http2";
import { isMainThread, withPreload } from "../common/preload.ts";
import { COMMANDS, type Command, THREAD_HEADER } from "./thread-commands.ts";

let name = "";

function obey(command: Command): void {
  switch (command) {
    case "name":
      return;
    case "hang":
    case "respond-and-hang":
      while (true);
    case "throw":
      setTimeout(() => {
        throw new RangeError("made up");
      }, 0);
      return;
    case "exit":
      // On Deno this ends the process.
      if ("Bun" in globalThis) process.exit(0);
      else (globalThis as unknown as { close(): void }).close();
  }
}

function findCommand(path: string | undefined): Command | undefined {
  return COMMANDS.find((command) => path === `/test/${command}`);
}

/** `Bun.listen`, as far as it is used here. */
interface Listening {
  readonly socket: { data: (socket: Bun.Socket, bytes: Uint8Array) => void };
}

const responseOf = () =>
  Buffer.from(`HTTP/1.1 200 OK\r\n${THREAD_HEADER}: ${name}\r\nContent-Length: 0\r\n\r\n`);

function commandIn(bytes: Uint8Array): Command | undefined {
  return findCommand(/^GET (\S+)/.exec(Buffer.from(bytes).toString("latin1"))?.[1]);
}

function patchBunListen(): void {
  const { listen } = Bun;
  const patched = (options: Listening) => {
    const { data } = options.socket;
    options.socket.data = (socket, bytes) => {
      const command = commandIn(bytes);
      if (command === undefined) return data(socket, bytes);
      if (command === "respond-and-hang") socket.write(responseOf());
      obey(command);
      socket.write(responseOf());
    };
    return Reflect.apply(listen, Bun, [options]);
  };
  Object.defineProperty(Bun, "listen", { value: patched });
}

function patchDenoListen(): void {
  const { listen } = Deno;
  Deno.listen = (options) => {
    const listener = listen(options);
    const accept = listener.accept.bind(listener);
    listener.accept = async () => {
      const connection = await accept();
      const read = connection.read.bind(connection);
      connection.read = async (buffer) => {
        for (;;) {
          const length = await read(buffer);
          const command = commandIn(buffer.subarray(0, length ?? 0));
          if (command === undefined) return length;
          if (command === "respond-and-hang") await connection.write(responseOf());
          obey(command);
          await connection.write(responseOf());
        }
      };
      return connection;
    };
    return listener;
  };
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

if (isMainThread) {
  let isBroken = false;
  process.on("SIGUSR2", () => (isBroken = !isBroken));
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      const isServing = String(script).includes("serving-worker");
      // A Worker does not load what `--preload` names.
      super(...(isServing ? withPreload(import.meta.url, script, options) : ([script, options] as const)));
      // Not at once: on Deno, the relay learns of the end of a Worker by a message port that it sends to it.
      if (isServing && isBroken) setTimeout(() => this.terminate());
    }
  };
} else {
  globalThis.addEventListener("message", learnName);
  if ("Bun" in globalThis) patchBunListen();
  else patchDenoListen();
  patchHttp2();
}
