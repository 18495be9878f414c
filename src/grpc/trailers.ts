import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { grpcStatusOk } from "@connectrpc/connect/protocol-grpc";
import type { StatusError } from "../streams/status-error.ts";

/** Returns the trailers with which a call ends. */
export function toTrailers(end: StatusError | "ok"): Record<string, string> {
  if (end === "ok") return { "grpc-status": grpcStatusOk };
  return {
    "grpc-status": String(codeFromString(end.code)),
    "grpc-message": encodeStatusMessage(end.message),
  };
}

/** Percent-encodes what the protocol requires, and no more: grpc-js does not decode all that `encodeURIComponent` encodes. */
function encodeStatusMessage(message: string): string {
  return message.toWellFormed().replace(/[^ -$&-~]/gu, (character) => encodeURIComponent(character));
}
