import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer, UpstreamRequest } from "./upstream-request.ts";

/** A fault of a response. Sizes are in bytes, times in milliseconds. */
export type Fault =
  | { readonly kind: "none" }
  /** Replaces the correct response by the result of `edit`. */
  | { readonly kind: "edit"; readonly edit: (right: Answer, request: UpstreamRequest) => Answer }
  /** Sends no response; the connection stays open. */
  | { readonly kind: "hang" }
  /** Sends the headers and the first bytes, then nothing more. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** Sends less than Content-Length, then closes the connection. */
  | { readonly kind: "cut"; readonly framing: "length" | "chunked"; readonly afterBytes: number }
  | { readonly kind: "reset" }
  | { readonly kind: "drip"; readonly chunkBytes: number; readonly everyMs: number };

export interface FaultScope {
  /** The affected requests; by default all. */
  readonly when?: (request: UpstreamRequest) => boolean;
  /** The number of affected requests; by default unlimited. */
  readonly times?: number;
  /** Delay before anything is sent. */
  readonly delayMs?: number;
  /** Nothing is sent before this. */
  readonly until?: Promise<void>;
}

export interface Exchange {
  readonly request: UpstreamRequest;
  readonly response: ServerResponse;
  readonly hangUp: (how: "close" | "reset") => void;
}

const open = (
  response: ServerResponse,
  { status, headers, body }: Answer,
  framing: "length" | "chunked",
): void => {
  const length = framing === "length" && status !== 304 ? { "content-length": String(body.byteLength) } : {};
  response.writeHead(status, { ...headers, ...length });
};

/** Sends the response with the fault; `hangUp` destroys the connection of the request. */
export async function send(exchange: Exchange, right: Answer, fault: Fault): Promise<void> {
  const { request, response, hangUp } = exchange;
  switch (fault.kind) {
    case "none":
    case "edit": {
      const edited = fault.kind === "edit" ? fault.edit(right, request) : right;
      open(response, edited, "length");
      if (request.method !== "HEAD" && edited.body.byteLength > 0) response.write(edited.body);
      response.end();
      return;
    }
    case "hang":
      return;
    case "stall":
      open(response, right, "length");
      response.write(right.body.subarray(0, fault.afterBytes));
      return;
    case "cut":
      open(response, right, fault.framing);
      response.write(right.body.subarray(0, fault.afterBytes));
      // The bytes must be sent before the socket is destroyed.
      await sleep(30);
      return hangUp("close");
    case "reset":
      return hangUp("reset");
    case "drip":
      open(response, right, "length");
      for (let at = 0; at < right.body.byteLength && !response.closed; at += fault.chunkBytes) {
        response.write(right.body.subarray(at, at + fault.chunkBytes));
        await sleep(fault.everyMs);
      }
      response.end();
  }
}
