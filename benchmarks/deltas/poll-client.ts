// Polls a relay on many connections, one for each poller, as core SDKs do. Reads rounds as lines of JSON from its input and
// writes the result of each as a line.
//   bun poll-client.ts <url> <SDK key> <pollers>
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { PolledRound, PollRound } from "./polling.ts";

const [url = "", sdkKey = "", pollers = "0"] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const POLLERS = Number(pollers);
const END_OF_HEAD = "\r\n\r\n";

interface Response {
  readonly lcut: number;
  readonly hasSpecs: boolean;
  readonly isDelta: boolean;
  readonly bytes: number;
}

/** A connection with one request at a time. Counts bodies without keeping them. */
class Poller {
  held = { lcut: 0, checksum: "" };
  readonly #socket: Socket;
  #head = "";
  #response: Response | undefined;
  #missing = 0;
  #resolve: (response: Response) => void = () => {};

  constructor() {
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on("error", fail);
    this.#socket.on("close", () => fail(new Error("the relay closed a connection")));
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  get connected(): Promise<void> {
    return new Promise((resolve) => this.#socket.once("connect", resolve));
  }

  poll(acceptDeltas: boolean): Promise<Response> {
    const { lcut, checksum } = this.held;
    const query = ["supports_proto=true"];
    if (acceptDeltas) query.push("accept_deltas=true");
    if (lcut > 0) query.push(`sinceTime=${lcut}`, `checksum=${checksum}`);
    this.#socket.write(
      `GET /v2/download_config_specs/${sdkKey}.json?${query.join("&")} HTTP/1.1\r\nHost: ${hostname}\r\n` +
        `Accept-Encoding: statsig-br, gzip, deflate, br\r\nstatsig-api-key: ${sdkKey}\r\n` +
        "statsig-sdk-type: statsig-server-core-node\r\nstatsig-sdk-version: 0.23.2\r\n\r\n",
    );
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  #read(chunk: Buffer): void {
    receivedBytes += chunk.length;
    if (this.#response === undefined) {
      this.#head += chunk.toString("latin1");
      const end = this.#head.indexOf(END_OF_HEAD);
      if (end < 0) return;
      const body = this.#head.length - end - END_OF_HEAD.length;
      this.#response = readHead(this.#head.slice(0, end));
      this.#missing = this.#response.bytes - (end + END_OF_HEAD.length) - body;
    } else this.#missing -= chunk.length;
    if (this.#missing > 0) return;
    if (this.#missing < 0) fail(new Error("the relay sent more than one response"));
    const response = this.#response;
    this.#head = "";
    this.#response = undefined;
    this.#resolve(response);
  }
}

/** A response without an update is the only one that is no protobuf. */
function readHead(head: string): Response {
  if (!head.startsWith("HTTP/1.1 200")) fail(new Error(`the relay responded ${head.split("\r\n", 1)[0]}`));
  const header = (name: string) => new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1]?.trim() ?? "";
  return {
    lcut: Number(header("x-since-time")),
    hasSpecs: header("content-type") === "application/octet-stream",
    isDelta: header("x-deltas-used") === "true",
    bytes: head.length + END_OF_HEAD.length + Number(header("content-length")),
  };
}

let receivedBytes = 0;
const now = () => performance.timeOrigin + performance.now();
const all = Array.from({ length: POLLERS }, () => new Poller());
await Promise.all(all.map(({ connected }) => connected));
for await (const line of createInterface({ input: process.stdin })) {
  const result = await runRound(JSON.parse(line) as PollRound);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
process.exit(0);

async function runRound(round: PollRound): Promise<PolledRound> {
  const startedAt = now();
  receivedBytes = 0;
  const latenciesMs: number[] = [];
  const updates: Response[] = [];
  const pollUntilUpdated = async (poller: Poller, at: number): Promise<void> => {
    for (let dueAt = startedAt + (at * round.intervalMs) / POLLERS; ; dueAt += round.intervalMs) {
      await sleepUntil(dueAt);
      const response = await poller.poll(round.acceptDeltas);
      latenciesMs.push(now() - dueAt);
      if (response.lcut !== round.lcut) continue;
      if (response.hasSpecs) updates.push(response);
      poller.held = round;
      return;
    }
  };
  await Promise.all(all.map(pollUntilUpdated));
  const deltas = updates.filter(({ isDelta }) => isDelta).length;
  return {
    polls: latenciesMs.length,
    full: updates.length - deltas,
    deltas,
    receivedBytes,
    updateBytes: updates.reduce((sum, { bytes }) => sum + bytes, 0),
    latenciesMs,
  };
}

async function sleepUntil(at: number): Promise<void> {
  const waitMs = at - now();
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
}

function fail(error: Error): never {
  process.stderr.write(`poll client: ${error.message}\n`);
  process.exit(1);
}
