import { ConnectError } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { toStatusError } from "../streams/status-error.ts";

/** Returns the error with which Connect ends a call. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const { code, message } = toStatusError(error);
  return new ConnectError(message, codeFromString(code));
}
