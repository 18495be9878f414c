import type { DropInRow } from "../support/drop-in/row.ts";

/** What an `http://` upstream does with a request, and what the relay's client gets. */
interface Http2Row extends DropInRow {
  readonly check: Http2Check;
}

export type Http2Check =
  | "config specs v1"
  | "config specs v2"
  | "protobuf"
  | "updates"
  | "401"
  | "ID lists"
  | "log events"
  | "GOAWAY"
  | "connections used once"
  | "a connection that dies in a response"
  | "a restart as HTTP/2 only"
  | "a restart as HTTP/1.1 only"
  | "505 to HTTP/1.1"
  | "closes HTTP/1.1 connections"
  | "neither protocol"
  | "a reset of HTTP/1.1";

const same = (check: Http2Check, original: string): Http2Row => ({
  name: check,
  check,
  original,
  ours: "same",
});

const newer = (check: Http2Check, original: string, does: string): Http2Row => ({
  name: check,
  check,
  original,
  ours: { does, subject: "HTTP/2 without TLS" },
});

const ONLY_4_1 = "4.1: sends HTTP/2 with prior knowledge; later versions fail";

export const HTTP2_ROWS: readonly Http2Row[] = [
  newer("config specs v1", ONLY_4_1, "works"),
  newer("config specs v2", ONLY_4_1, "works"),
  newer("protobuf", ONLY_4_1, "works"),
  newer("updates", ONLY_4_1, "works"),
  newer("401", ONLY_4_1, "401 to the client"),
  newer("ID lists", "sends HTTP/1.1, which fails", "works"),
  newer("log events", "sends HTTP/1.1, which fails", "works"),
  newer("GOAWAY", ONLY_4_1, "the next request takes another connection"),
  newer("connections used once", ONLY_4_1, "with --http-connection-pool-max-idle-per-host 0"),
  newer("a connection that dies in a response", ONLY_4_1, "a failure; the cached version stays"),
  newer("a restart as HTTP/2 only", "fails, or works only with HTTP/2", "switches to HTTP/2"),
  newer("a restart as HTTP/1.1 only", "works, or fails with 4.1", "switches to HTTP/1.1"),
  newer("505 to HTTP/1.1", ONLY_4_1, "switches to HTTP/2"),
  newer("closes HTTP/1.1 connections", ONLY_4_1, "switches to HTTP/2"),
  {
    name: "neither protocol",
    check: "neither protocol",
    original: "401",
    ours: { does: "503", subject: "nothing cached and upstream failing" },
  },
  same("a reset of HTTP/1.1", "the cached version is served, and HTTP/1.1 is used on"),
];
