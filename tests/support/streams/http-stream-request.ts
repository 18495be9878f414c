import { STREAM_CONFIG_SPEC } from "../clients/raw-grpc-client.ts";
import { rpcFrame } from "../clients/rpc-frames.ts";
import { encodeRequest, type WireRequest } from "../clients/spec-messages.ts";

/** The ways to open a stream on the HTTP port. */
export const HTTP_STREAMS = ["connect", "grpc-web", "events", "gzip events"] as const;

export type HttpStream = (typeof HTTP_STREAMS)[number];

/** Returns the bytes of a request over HTTP/1.1 that opens a stream. */
export function httpStreamRequest(kind: HttpStream, request: WireRequest): Buffer {
  switch (kind) {
    case "connect":
      return post("application/connect+proto", rpcFrame(encodeRequest(request)));
    case "grpc-web":
      return post("application/grpc-web+proto", rpcFrame(encodeRequest(request)));
    case "events":
      return get(request, "identity");
    case "gzip events":
      return get(request, "gzip");
  }
}

function get({ sdkKey, sinceTime = 0 }: WireRequest, coding: string): Buffer {
  const lines = [
    `GET /v1/stream_config_specs/${sdkKey} HTTP/1.1`,
    "Host: localhost",
    `Accept-Encoding: ${coding}`,
    `Last-Event-ID: ${sinceTime}`,
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
}

function post(contentType: string, body: Buffer): Buffer {
  const lines = [
    `POST ${STREAM_CONFIG_SPEC} HTTP/1.1`,
    "Host: localhost",
    `Content-Type: ${contentType}`,
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), body]);
}
