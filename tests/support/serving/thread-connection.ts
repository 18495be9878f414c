import { RawConnection } from "../clients/raw-connection.ts";
import { type Command, THREAD_HEADER } from "./thread-commands.ts";

export interface ThreadResponse {
  readonly status: number;
  /** Keys are names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A plaintext HTTP/1.1 connection, and the serving thread that has it. */
export class ThreadConnection implements Disposable {
  readonly #connection: RawConnection;
  #read = 0;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<ThreadConnection> {
    return new ThreadConnection(await RawConnection.open(url));
  }

  /** Resolves with the name of the thread. */
  async thread(): Promise<string> {
    return (await this.get("/test/name")).headers.get(THREAD_HEADER) ?? "";
  }

  get isClosed(): boolean {
    return this.#connection.isClosed;
  }

  /** Sends a GET, and resolves with its response. One request at a time. Rejects if the connection is closed instead. */
  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<ThreadResponse> {
    return this.send("GET", path, headers);
  }

  async send(
    method: "GET" | "POST",
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body = "",
  ): Promise<ThreadResponse> {
    const length = method === "POST" ? { "Content-Length": String(Buffer.byteLength(body)) } : {};
    const lines = Object.entries({ Host: "localhost", ...length, ...headers });
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    this.#connection.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`);
    const next = (received: Buffer) => this.#next(received) ?? (this.isClosed ? "closed" : undefined);
    const response = await this.#connection.until(`a response to ${path}`, next, 20_000);
    if (response === "closed") throw new Error("the connection was closed");
    return response;
  }

  /** Stops the event loop of the thread for ever. Resolves when it stands still, or in a moment will. */
  async hang(): Promise<void> {
    await this.get("/test/respond-and-hang");
  }

  command(command: Command): void {
    this.#connection.write(`GET /test/${command} HTTP/1.1\r\n\r\n`);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  #next(received: Buffer): ThreadResponse | undefined {
    const end = received.indexOf("\r\n\r\n", this.#read);
    if (end < 0) return undefined;
    const [first = "", ...lines] = received.toString("latin1", this.#read, end).split("\r\n");
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const after = end + 4 + Number(headers.get("content-length") ?? 0);
    if (received.length < after) return undefined;
    this.#read = after;
    return { status: Number(first.split(" ")[1]), headers, body: received.toString("utf8", end + 4, after) };
  }
}
