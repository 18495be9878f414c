import { expect } from "bun:test";
import { type RawResponse, textOf } from "../clients/raw-get.ts";
import { type RawRequest, rawHttp } from "../clients/raw-http.ts";
import type { PublishedKey } from "../upstream/published-key.ts";
import type { DropInRow } from "./row.ts";

/** What a response must be. Properties that are missing may be anything. */
export interface HttpAnswer {
  readonly status: number;
  /** Which body it has. `error` is `{code, reason}` with the status and its reason phrase. */
  readonly body?:
    | "v1"
    | "v2"
    | "protobuf"
    | "no update"
    | "unauthorized"
    | "error"
    | "accepted"
    | "{}"
    | "empty";
  /** The value of each, or its form; undefined for a header that must be missing. */
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
  /** Text that the `message` of an error contains. */
  readonly message?: string;
}

/** A request to the HTTP port. */
export interface HttpRow extends DropInRow {
  readonly path: string;
  readonly request: RawRequest;
  readonly answer: HttpAnswer;
}

/** How the original answers, where that differs, and the row of docs/migrating.md that explains it. */
export type Difference = readonly [original: string, subject: string];

/** Describes one request. Without a difference, the original answers as the relay must. */
export function httpRow(
  name: string,
  path: string,
  request: RawRequest,
  answer: HttpAnswer,
  difference?: Difference,
): HttpRow {
  const does = describeAnswer(answer);
  const [original = does, subject] = difference ?? explainMessage(answer, does) ?? [];
  return { name, path, request, answer, original, ours: subject === undefined ? "same" : { does, subject } };
}

function explainMessage({ message }: HttpAnswer, does: string): Difference | undefined {
  return message === undefined ? undefined : [`${does}, without a message`, "bodies of errors"];
}

function describeAnswer({ status, body, headers = {} }: HttpAnswer): string {
  const coding = headers["content-encoding"];
  return [status, body ?? "", coding === undefined ? "" : `in ${coding}`]
    .filter((part) => part !== "")
    .join(" ");
}

const JSON_TYPE = "application/json";
export const OK_V1: HttpAnswer = { status: 200, body: "v1", headers: { "content-type": JSON_TYPE } };
export const OK_V2: HttpAnswer = { status: 200, body: "v2", headers: { "content-type": JSON_TYPE } };
export const PROTOBUF: HttpAnswer = {
  status: 200,
  body: "protobuf",
  headers: { "content-type": "application/octet-stream", "content-encoding": "statsig-br" },
};
export const NO_UPDATE: HttpAnswer = {
  status: 200,
  body: "no update",
  headers: { "content-type": JSON_TYPE, "content-encoding": undefined, "x-cache-hit": "true" },
};
export const UNAUTHORIZED: HttpAnswer = {
  status: 401,
  body: "unauthorized",
  headers: { "content-type": "text/plain; charset=utf-8" },
};
export const ACCEPTED: HttpAnswer = { status: 202, body: "accepted", headers: { "content-type": JSON_TYPE } };
export const PROBE_OK: HttpAnswer = { status: 200, body: "{}", headers: { "content-type": JSON_TYPE } };

export const failed = (status: number, message?: string): HttpAnswer => ({
  status,
  body: "error",
  headers: { "content-type": JSON_TYPE },
  ...(message !== undefined && { message }),
});

/** Returns the answer with a plain body that has this Content-Encoding; undefined for none. */
export const inCoding = (answer: HttpAnswer, coding: string | undefined): HttpAnswer => ({
  ...answer,
  headers: { ...answer.headers, "content-encoding": coding },
});

/** Security scanners look for them on every response. */
const HEADERS_OF_ALL = {
  server: "statsig-forward-proxy",
  "x-frame-options": "SAMEORIGIN",
  "permissions-policy": "interest-cohort=()",
  "x-content-type-options": "nosniff",
} as const;

/** Sends the request and checks the response. */
export async function checkHttpRow(row: HttpRow, relayUrl: string, published: PublishedKey): Promise<void> {
  const { answer } = row;
  const response = await rawHttp(`${relayUrl}${row.path}`, row.request);
  expect(response.status).toBe(answer.status);
  expect(response.headers).toMatchObject(HEADERS_OF_ALL);
  for (const [name, value] of Object.entries(answer.headers ?? {})) {
    const expected = value instanceof RegExp ? expect.stringMatching(value) : value;
    expect([name, response.headers[name]]).toEqual([name, expected]);
  }
  const hasSpec = ["v1", "v2", "protobuf", "no update"].includes(answer.body ?? "");
  if (hasSpec) expect(response.headers["x-since-time"]).toBe(String(published.lcut));
  checkBody(response, answer, published);
}

function checkBody(
  response: RawResponse,
  { status, body, message }: HttpAnswer,
  published: PublishedKey,
): void {
  switch (body) {
    case "v1":
    case "v2":
      expect(textOf(response)).toBe(published[body]);
      break;
    case "protobuf":
      expect(response.body.equals(published.proto)).toBe(true);
      break;
    case "no update":
      expect(response.body.toString()).toBe('{"has_updates":false}');
      break;
    case "unauthorized":
      expect(response.body.toString()).toBe("Unauthorized");
      break;
    case "accepted":
      expect(response.body.toString()).toBe('{"success":true,"message":null}');
      break;
    case "{}":
      expect(response.body.toString()).toBe("{}");
      break;
    case "empty":
      expect(response.body.byteLength).toBe(0);
      break;
    case "error": {
      const said = JSON.parse(response.body.toString());
      expect(said).toMatchObject({ code: status, reason: expect.stringMatching(/^[A-Z][a-zA-Z -]+$/) });
      if (message !== undefined) expect(said.message).toContain(message);
      break;
    }
    case undefined:
  }
}
