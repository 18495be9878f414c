import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer, UpstreamRequest } from "./upstream-request.ts";

/** What goes wrong with an answer. Sizes in bytes, times in milliseconds. */
export type Fault =
  | { readonly kind: "none" }
  /** Another answer in place of the right one; `edit` gets the right one. */
  | { readonly kind: "edit"; readonly edit: (right: Answer, request: UpstreamRequest) => Answer }
  /** No answer at all, the connection stays open. */
  | { readonly kind: "hang" }
  /** Headers and the first bytes, then nothing more. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** Less than was promised, then the connection closes. */
  | { readonly kind: "cut"; readonly framing: "length" | "chunked"; readonly afterBytes: number }
  | { readonly kind: "reset" }
  | { readonly kind: "drip"; readonly chunkBytes: number; readonly everyMs: number };

export interface FaultScope {
  /** Which requests; all when left out. */
  readonly when?: (request: UpstreamRequest) => boolean;
  /** How many requests; without end when left out. */
  readonly times?: number;
  /** Waits this long before anything is sent. */
  readonly delayMs?: number;
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

/** Sends the answer with the fault in it; `hangUp` destroys the connection that the request came by. */
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
      // The bytes written must be on their way before the socket goes.
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
