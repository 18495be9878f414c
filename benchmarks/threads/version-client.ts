// Polls a relay on many connections until all of them have seen the last version, and records when each sees a new
// one. A version that goes back on a connection is an error.
//   bun version-client.ts <url> <path> <connections> <pause between requests of a connection, ms> <last version>
import { connect, type Socket } from "node:net";
import type { Sighting, Sightings } from "./sightings.ts";

const [url = "", path = "", connections = "0", pauseMs = "1", lastVersion = "0"] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const request = `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;

const now = () => performance.timeOrigin + performance.now();
let requests = 0;
let open = Number(connections);

interface Seen {
  firstMs: number;
  lastMs: number;
  lastOldSentMs: number;
  connections: number;
}

const seen = new Map<number, Seen>();

for (let at = 0; at < Number(connections); at++) poll(connectSocket());

function connectSocket(): Socket {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  socket.setEncoding("latin1");
  socket.on("error", fail);
  return socket;
}

function poll(socket: Socket): void {
  let received = "";
  let sentAt = 0;
  let version = 0;
  const send = () => {
    received = "";
    sentAt = now();
    requests++;
    socket.write(request);
  };
  socket.on("connect", send);
  socket.on("close", () => fail(new Error("the relay closed a connection")));
  socket.on("data", (text: string) => {
    received += text;
    if (!isWhole(received)) return;
    const next = versionIn(received);
    if (next < version) fail(new Error(`a connection received version ${next} after ${version}`));
    note(next, version, sentAt);
    version = next;
    // Random pauses, so that connections do not send their requests all at once.
    if (version < Number(lastVersion)) setTimeout(send, Number(pauseMs) * (0.5 + Math.random()));
    else if (--open === 0) finish();
  });
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  const length = Number(/content-length: (\d+)/i.exec(answer)?.[1]);
  return end >= 0 && answer.length >= end + 4 + length;
}

function versionIn(answer: string): number {
  if (!answer.startsWith("HTTP/1.1 200")) fail(new Error(answer.split("\r\n", 1)[0]));
  return Number(/x-since-time: (\d+)/i.exec(answer)?.[1]);
}

function note(lcut: number, before: number, sentAt: number): void {
  const at = now();
  for (const [newer, each] of seen)
    if (newer > lcut) each.lastOldSentMs = Math.max(each.lastOldSentMs, sentAt);
  if (lcut === before) return;
  const known = seen.get(lcut);
  if (known === undefined) {
    seen.set(lcut, { firstMs: at, lastMs: at, lastOldSentMs: Number.NEGATIVE_INFINITY, connections: 1 });
    return;
  }
  known.lastMs = at;
  known.connections++;
}

function finish(): void {
  const versions: Sighting[] = [...seen].map(([lcut, each]) => ({ lcut, ...each }));
  versions.sort((a, b) => a.lcut - b.lcut);
  const result: Sightings = { requests, versions };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

function fail(error: Error): void {
  process.stderr.write(`version client: ${error.message}\n`);
  process.exit(1);
}
