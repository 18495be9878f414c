// Sends small requests to a relay over one connection and records the latency of each.
//   bun probe-client.ts <url> <path> <duration, ms> [<pause between requests, ms> [<Accept-Encoding>]]
import { connect } from "node:net";
import { PROBE_PAUSE_MS, type Probing } from "./probing.ts";

const [url = "", path = "", durationMs = "0", pauseMs = PROBE_PAUSE_MS, codings] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const accepted = codings === undefined ? "" : `Accept-Encoding: ${codings}\r\n`;
const request = `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n${accepted}\r\n`;

const now = () => performance.timeOrigin + performance.now();
const endAt = now() + Number(durationMs);
const samples: [number, number][] = [];
const versions: [number, number][] = [];
let sentAt = 0;
let received = "";

const socket = connect({ host: hostname, port: Number(port), noDelay: true });
socket.setEncoding("latin1");
socket.on("connect", send);
socket.on("data", (text: string) => {
  received += text;
  if (isWhole(received)) note();
});
socket.on("error", fail);
socket.on("close", () => fail(new Error("the relay closed the connection")));

function send(): void {
  sentAt = now();
  received = "";
  socket.write(request);
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  const length = Number(/content-length: (\d+)/i.exec(answer)?.[1]);
  return end >= 0 && answer.length >= end + 4 + length;
}

function note(): void {
  const at = now();
  if (!received.startsWith("HTTP/1.1 200")) fail(new Error(received.split("\r\n", 1)[0]));
  samples.push([sentAt, at - sentAt]);
  const lcut = Number(/x-since-time: (\d+)/i.exec(received)?.[1]);
  if (lcut !== versions.at(-1)?.[1]) versions.push([at, lcut]);
  if (at < endAt) setTimeout(send, Number(pauseMs));
  else finish();
}

function finish(): void {
  const probing: Probing = { samples, versions };
  process.stdout.write(`${JSON.stringify(probing)}\n`, () => process.exit(0));
}

function fail(error: Error): void {
  process.stderr.write(`probe client: ${error.message}\n`);
  process.exit(1);
}
