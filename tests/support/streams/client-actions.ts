import fc from "fast-check";
import { CANCEL, ENHANCE_YOUR_CALM, REFUSED_STREAM } from "../clients/http2-frames.ts";
import { HTTP_STREAMS, type HttpStream } from "./http-stream-request.ts";

/** The feeds that streams may ask for. The last key is not published. */
export const KEYS = [
  "secret-counts-small-0123456789",
  "secret-counts-large-0123456789",
  "secret-counts-other-0123456789",
  "secret-counts-never-0123456789",
] as const;

/** The protocols of a stream over HTTP/2, by the content type of its request. */
const PROTOCOLS = ["application/grpc", "application/grpc-web+proto", "application/connect+proto"] as const;

/** The HTTP/2 windows of a connection: those that HTTP/2 begins with, none at all, and what is filled once and never again. */
export const WINDOWS = ["usual", "none", "never acknowledged"] as const;

const RESET_CODES = [0, 1, 2, CANCEL, REFUSED_STREAM, ENHANCE_YOUR_CALM];

/** Anything that a client, the operator or upstream does. `at` picks one of what is open: it counts around. */
export type Action =
  | { readonly kind: "connect"; readonly window: (typeof WINDOWS)[number] }
  | Opening
  | {
      readonly kind: "open_http";
      readonly key: string;
      readonly stream: HttpStream;
      readonly sinceTime: number;
    }
  | { readonly kind: "reset" | "reset_twice"; readonly at: number; readonly code: number }
  | { readonly kind: "end_request" | "break" | "widen"; readonly at: number }
  | { readonly kind: "cut" | "go_away" | "pause" | "resume"; readonly at: number }
  | { readonly kind: "cut_http" | "half_close_http"; readonly at: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "publish" | "revoke"; readonly key: string }
  | { readonly kind: "limit"; readonly max: number }
  | { readonly kind: "end_thread"; readonly protocol: "http" | "grpc" };

/** A stream on an HTTP/2 connection. */
export interface Opening {
  readonly kind: "open";
  readonly at: number;
  readonly key: string;
  readonly version: number;
  readonly protocol: string;
  readonly sinceTime: number;
  readonly deadlineMs: number | undefined;
  readonly endsLater: boolean;
  /** The code with which it is reset in the same write; undefined if it is not. */
  readonly resetsWith: number | undefined;
}

const at = fc.nat(1_000);
const key = fc.constantFrom(...KEYS);
const code = fc.constantFrom(...RESET_CODES);
const protocol = fc.constantFrom(...PROTOCOLS);
/** A client without a version, with an old one, and with one that the relay never has. */
const sinceTime = fc.constantFrom(0, 1, 9_000_000_000_000);
const inTenth = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const opening = fc.record({
  kind: fc.constant("open" as const),
  ...{ at, key, protocol, sinceTime },
  version: fc.constantFrom(0, 1, 2),
  deadlineMs: inTenth(fc.integer({ min: 0, max: 50 })),
  endsLater: fc.constantFrom(false, false, false, true),
  resetsWith: inTenth(code),
});

const oneOf = <K extends string>(...kinds: readonly K[]) => fc.constantFrom(...kinds);

/** Rarely: a thread that ends again and again is replaced later and later. */
export const threadEnd: fc.Arbitrary<Action> = fc.record({
  kind: oneOf("end_thread"),
  protocol: oneOf("http", "grpc"),
});

/** How often each happens, relative to the others. */
export const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 400, arbitrary: opening },
  {
    weight: 60,
    arbitrary: fc.record({ kind: oneOf("open_http"), stream: oneOf(...HTTP_STREAMS), key, sinceTime }),
  },
  { weight: 60, arbitrary: fc.record({ kind: oneOf("connect"), window: fc.constantFrom(...WINDOWS) }) },
  { weight: 200, arbitrary: fc.record({ kind: oneOf("reset", "reset", "reset", "reset_twice"), at, code }) },
  { weight: 60, arbitrary: fc.record({ kind: oneOf("end_request", "end_request", "widen", "break"), at }) },
  { weight: 40, arbitrary: fc.record({ kind: oneOf("cut", "go_away", "pause", "resume"), at }) },
  { weight: 40, arbitrary: fc.record({ kind: oneOf("cut_http", "half_close_http"), at }) },
  { weight: 100, arbitrary: fc.record({ kind: oneOf("wait"), ms: fc.nat(8) }) },
  { weight: 20, arbitrary: fc.record({ kind: oneOf("publish", "publish", "publish", "revoke"), key }) },
  { weight: 4, arbitrary: fc.record({ kind: oneOf("limit"), max: fc.integer({ min: 0, max: 60 }) }) },
);
