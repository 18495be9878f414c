import { createServer } from "node:net";
import type { Random } from "../common/random.ts";
import { END_HEADERS, END_STREAM, FRAME, frame, OPENING, requestHeaders } from "./http2-frames.ts";
import { connectTo } from "./raw-connection.ts";
import { GET_CONFIG_SPEC, STREAM_CONFIG_SPEC } from "./raw-grpc-client.ts";
import { rpcFrame } from "./rpc-frames.ts";
import { encodeRequest } from "./spec-messages.ts";

const HOST = "Host: localhost\r\n";
const EVENTS = JSON.stringify({ events: [{ eventName: "bought", user: { userID: "u" } }] });

const post = (path: string, type: string, body: string | Buffer): Buffer => {
  const head = `POST ${path} HTTP/1.1\r\n${HOST}statsig-api-key: secret-held\r\nContent-Type: ${type}\r\n`;
  return Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), Buffer.from(body)]);
};

/** Valid requests, to be mutated. */
const HTTP_REQUESTS: readonly [Buffer, ...Buffer[]] = [
  Buffer.from(
    `GET /v2/download_config_specs/secret-held.json?sinceTime=1&supports_proto=true HTTP/1.1\r\n${HOST}Accept-Encoding: br;q=0.5, gzip\r\nIf-None-Match: "a"\r\n\r\n`,
  ),
  Buffer.from(`HEAD /v1/download_config_specs/secret-held.json HTTP/1.1\r\n${HOST}\r\n`),
  Buffer.from(`GET /v1/get_id_lists/secret-held.json HTTP/1.1\r\n${HOST}Range: bytes=1-\r\n\r\n`),
  Buffer.from("GET /v1/health HTTP/1.0\r\n\r\n"),
  Buffer.from(
    `OPTIONS /v1/log_event HTTP/1.1\r\n${HOST}Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\r\n`,
  ),
  post("/v1/log_event", "application/json", EVENTS),
  post("/v1/download_config_specs", "application/json", '{"sinceTime":0}'),
  post(GET_CONFIG_SPEC, "application/json", '{"sdkKey":"secret-held"}'),
  post(STREAM_CONFIG_SPEC, "application/connect+json", rpcFrame('{"sdkKey":"secret-held"}')),
  Buffer.from(
    `POST /v1/log_event HTTP/1.1\r\n${HOST}statsig-api-key: secret-held\r\nTransfer-Encoding: chunked\r\n\r\n${EVENTS.length.toString(16)}\r\n${EVENTS}\r\n0\r\n\r\n`,
  ),
];

const httpRequests = (random: Random): Buffer =>
  random.mutate(Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => random.pick(HTTP_REQUESTS))));

/** A frame with any type, flags and stream, sometimes with a wrong length. */
function anyFrame(random: Random): Buffer {
  const payload = random.pick<() => Buffer>([
    () => random.bytes(random.below(64)),
    () => random.bytes(4),
    () => random.bytes(8),
    () => requestHeaders("POST", GET_CONFIG_SPEC, { "content-type": "application/grpc" }),
    () => random.mutate(requestHeaders("GET", "/v1/health", { "x-more": "a".repeat(random.below(5_000)) })),
  ])();
  const streamId = random.oneIn(4) ? 0 : random.below(random.oneIn(10) ? 2 ** 31 : 20);
  const made = frame(random.below(12), random.below(256), streamId, payload);
  if (random.oneIn(20)) made.writeUIntBE(random.below(2 ** 24), 0, 3);
  return made;
}

const http2Frames = (random: Random): Buffer =>
  Buffer.concat([OPENING, ...Array.from({ length: 1 + random.below(40) }, () => anyFrame(random))]);

const RPC_TYPES = [
  "application/grpc",
  "application/grpc-web",
  "application/connect+proto",
  "application/proto",
] as const;

/** A call with valid headers and malformed messages. */
function rpcCall(random: Random): Buffer {
  const path = random.pick([GET_CONFIG_SPEC, STREAM_CONFIG_SPEC]);
  const headers = requestHeaders("POST", path, { "content-type": random.pick(RPC_TYPES), te: "trailers" });
  const message = rpcFrame(
    encodeRequest({ sdkKey: "secret-held", version: 2, sinceTime: random.below(2 ** 31) }),
  );
  const data = frame(FRAME.data, random.oneIn(2) ? END_STREAM : 0, 1, random.mutate(message));
  return Buffer.concat([OPENING, frame(FRAME.headers, END_HEADERS, 1, headers), data]);
}

export type FuzzInput = (random: Random) => Buffer;

/** The input of a connection, by its kind. */
export const FUZZ_INPUTS = {
  bytes: (random) => random.bytes(random.below(4_000)),
  "HTTP/1.1 requests": httpRequests,
  "HTTP/2 frames": http2Frames,
  "RPC messages": rpcCall,
} as const satisfies Record<string, FuzzInput>;

/** Mutated TLS records of a client's first flight. */
export async function tlsRecords(): Promise<FuzzInput> {
  const hello = await clientHello();
  return (random) => Buffer.concat([random.mutate(hello), random.bytes(random.below(200))]);
}

function clientHello(): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (bytes: Buffer) => {
      socket.destroy();
      server.close();
      resolve(bytes);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    connectTo(`https://127.0.0.1:${address.port}`, "h2").socket.on("error", () => undefined);
  });
  return promise;
}
