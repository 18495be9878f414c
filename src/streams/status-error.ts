import { ThreadUnreachable } from "../platform/thread-channel.ts";

/** The gRPC statuses with which a request or a stream can end, by the names that Connect gives them. */
export type StatusCode =
  | "canceled"
  | "deadline_exceeded"
  | "unimplemented"
  | "invalid_argument"
  | "permission_denied"
  | "resource_exhausted"
  | "unavailable"
  | "internal";

/** What a protocol with other statuses than gRPC's needs to know beside the code. */
interface StatusDetails {
  /** When a retry may succeed. */
  readonly retryAfterMs?: number;
  /** The limit that was reached. */
  readonly limit?: "streams" | "requests" | "unknown_keys";
}

/** Why a client gets no config spec, or no further ones, on any protocol (docs/protocol.md, gRPC errors). */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: StatusCode;
  readonly details: StatusDetails;

  /** `message` is sent to the client. */
  constructor(code: StatusCode, message: string, details: StatusDetails = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

export function unauthorized(): StatusError {
  return new StatusError("permission_denied", "Unauthorized");
}

export function unavailable(message: string, retryAfterMs?: number): StatusError {
  return new StatusError("unavailable", message, { ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

/** Ends streams and calls at the shutdown, so that clients go to another replica. */
export function shuttingDown(): StatusError {
  return unavailable("The relay is shutting down");
}

/** Returns what a client is sent for any error. Others than a StatusError are unexpected. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof ThreadUnreachable) return unavailable("The relay is overloaded");
  return new StatusError("internal", "internal error");
}
