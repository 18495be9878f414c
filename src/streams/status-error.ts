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

/** Why a client gets no config spec, or no further ones, on any protocol (docs/protocol.md, gRPC errors). */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: StatusCode;

  /** `message` is sent to the client. */
  constructor(code: StatusCode, message: string) {
    super(message);
    this.code = code;
  }
}

export function unauthorized(): StatusError {
  return new StatusError("permission_denied", "Unauthorized");
}

export function unavailable(message: string): StatusError {
  return new StatusError("unavailable", message);
}

/** Returns what a client is sent for any error. Others than a StatusError are unexpected. */
export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof ThreadUnreachable) return unavailable("The relay is overloaded");
  return new StatusError("internal", "internal error");
}
