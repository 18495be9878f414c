import {
  createSecureServer,
  createServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { OtlpReceiver, type OtlpTls } from "./otlp-receiver.ts";

const FRAME_HEADER_BYTES = 5;
const EMPTY_MESSAGE = Buffer.alloc(FRAME_HEADER_BYTES);

/** Starts a collector for gRPC on `node:http2`, to see what is on the wire and to share no code with the exporter. */
export async function startOtlpGrpc({ tls }: { tls?: OtlpTls } = {}): Promise<OtlpReceiver> {
  const server =
    tls === undefined
      ? createServer()
      : createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: tls.clientsToo === true });
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    void respond(receiver, stream, headers as Readonly<Record<string, unknown>>);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver = new OtlpReceiver(`${tls ? "https" : "http"}://127.0.0.1:${port}`, async () => {
    for (const session of sessions) session.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return receiver;
}

async function respond(
  receiver: OtlpReceiver,
  stream: ServerHttp2Stream,
  headers: Readonly<Record<string, unknown>>,
): Promise<void> {
  receiver.requests++;
  const frame = await buffer(stream).catch(() => undefined);
  if (frame === undefined || receiver.behavior === "never") return;
  const status = typeof receiver.behavior === "number" ? receiver.behavior : 0;
  if (status === 0) {
    const isCompressed = frame[0] === 1;
    const message = frame.subarray(FRAME_HEADER_BYTES);
    const path = String(headers[":path"]);
    const proto = isCompressed ? gunzipSync(message) : message;
    receiver.take({ proto }, { protocol: "grpc", path, headers, isCompressed });
  }
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status) }));
  stream.end(status === 0 ? EMPTY_MESSAGE : undefined);
}
