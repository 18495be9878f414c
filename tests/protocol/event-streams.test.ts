import { expect } from "bun:test";
import { EventStream, type EventStreamOptions } from "../support/clients/event-stream.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

let shared: TlsRelay;
beforeAll(async () => {
  shared = await startTlsRelay();
}, 30_000);
afterAll(() => shared[Symbol.asyncDispose]());

const path = (sdkKey: string, query = "") => `/v2/stream_config_specs/${sdkKey}${query}`;
const urlOf = (target: string, protocol: "http" | "https" = "http") =>
  `${shared.relay.urlOf(protocol)}${target}`;
const open = (target: string, headers: Record<string, string> = {}) =>
  EventStream.open(urlOf(target), { headers });

const eventOf = ({ lcut, v2 }: PublishedKey) => ({ event: "spec", id: String(lcut), data: v2 });

describe.each([
  ["HTTP/1.1", "http", {}],
  ["HTTP/1.1 over TLS", "https", {}],
  ["HTTP/2", "https", { isHttp2: true }],
] as const)("Watching over HTTP: by %s", (name, protocol, version: EventStreamOptions) => {
  test.concurrent.each(["identity", "gzip"])(
    "the spec at once, then each new one, with %s",
    async (coding) => {
      const sdkKey = `secret-events-${name.replaceAll(/\W/g, "-")}-${coding}`;
      const first = publishKey(shared.upstream, sdkKey);
      const headers = { "accept-encoding": coding };
      using stream = await EventStream.open(urlOf(path(sdkKey), protocol), { ...version, headers });
      expect([stream.status, stream.headers["content-type"]]).toEqual([200, "text/event-stream"]);
      expect(stream.headers["content-encoding"]).toBe(coding === "gzip" ? "gzip" : undefined);
      expect(stream.headers["cache-control"]).toBe("private, no-store, no-transform");
      expect(stream.headers["x-since-time"]).toBe(String(first.lcut));
      const { retry } = await stream.nextOfAny();
      expect(retry).toBeGreaterThanOrEqual(3_000);
      expect(retry).toBeLessThanOrEqual(6_000);
      expect(await stream.nextOfAny()).toEqual(eventOf(first));
      for (const number of [1, 2]) {
        const newer = publishKey(shared.upstream, sdkKey, number);
        expect(await stream.nextOfAny()).toEqual(eventOf(newer));
      }
      // A client that joins later shares what was compressed for the first.
      using later = await EventStream.open(urlOf(path(sdkKey), protocol), { ...version, headers });
      expect((await later.next()).id).toBe(String(FIRST_LCUT + 120_000));
      const newest = publishKey(shared.upstream, sdkKey, 3);
      expect(await stream.nextOfAny()).toEqual(eventOf(newest));
      expect(await later.nextOfAny()).toEqual(eventOf(newest));
    },
    60_000,
  );

  test.concurrent("a client that does not read delays no other, and gets the newest version when it reads again", async () => {
    const sdkKey = `secret-slow-events-${name.replaceAll(/\W/g, "-")}`;
    const publishLarge = (number: number): string => {
      const lcut = FIRST_LCUT + number;
      shared.upstream.publish(sdkKey, "v2", padTo(specV2({ lcut, sdkKey }), 3_000_000), lcut);
      return String(lcut);
    };
    publishLarge(0);
    using slow = await EventStream.open(urlOf(path(sdkKey), protocol), version);
    await slow.next();
    slow.pause();
    using quick = await EventStream.open(urlOf(path(sdkKey), protocol), version);
    await quick.next();
    let newest = "";
    for (let number = 1; number <= 4; number++) {
      newest = publishLarge(number);
      expect((await quick.next()).id).toBe(newest);
    }
    slow.resume();
    const received: (string | undefined)[] = [];
    while (received.at(-1) !== newest) received.push((await slow.next()).id);
    expect(received).toEqual([...new Set(received)].sort());
    // What the system held for the client when it stopped reading, the version being written, and the newest one.
    expect(received.length).toBeLessThanOrEqual(4);
  }, 60_000);
});

describe("Watching over HTTP: a client that has a version", () => {
  const sdkKey = "secret-events-resume";
  let held: PublishedKey;
  beforeAll(() => {
    held = publishKey(shared.upstream, sdkKey);
  });

  test.each([
    ["the same, by Last-Event-ID", "", { "last-event-id": String(FIRST_LCUT) }],
    ["a newer one, by Last-Event-ID", "", { "last-event-id": String(FIRST_LCUT + 1) }],
    ["the same, by sinceTime", `?sinceTime=${FIRST_LCUT}`, {}],
    [
      "the same, by Last-Event-ID beside an older sinceTime",
      "?sinceTime=1",
      { "last-event-id": `${FIRST_LCUT}` },
    ],
    ["the same, compressed", "", { "last-event-id": String(FIRST_LCUT), "accept-encoding": "gzip" }],
  ])("%s: gets a comment at once, and no event until there is a newer one", async (_, query, headers) => {
    using stream = await open(path(sdkKey, query), headers as Record<string, string>);
    expect(await stream.nextOfAny()).toEqual({ retry: expect.any(Number) });
    expect(await stream.nextOfAny()).toEqual({ comment: "no update" });
    expect(stream.waiting).toBe(0);
  });

  test.each([
    ["an older one", "", { "last-event-id": "1" }],
    ["an older one beside a newer sinceTime", `?sinceTime=${FIRST_LCUT}`, { "last-event-id": "1" }],
    ["one that is no number", "", { "last-event-id": "abc" }],
  ])("%s: gets the held one", async (_, query, headers) => {
    using stream = await open(path(sdkKey, query), headers);
    expect(await stream.next()).toEqual(eventOf(held));
  });

  test("gets the next version once it is there", async () => {
    const first = publishKey(shared.upstream, "secret-events-next");
    using stream = await open(path(first.sdkKey), { "last-event-id": String(first.lcut) });
    await stream.nextOfAny();
    const newer = publishKey(shared.upstream, first.sdkKey, 1);
    expect(await stream.next()).toEqual(eventOf(newer));
  });
});

describe("Watching over HTTP: requests", () => {
  test.each(["", ".json", "/"])("the SDK key in the path, followed by %p", async (suffix) => {
    const { sdkKey, v1 } = publishKey(shared.upstream, "secret-events-path");
    using stream = await open(`/v1/stream_config_specs/${sdkKey}${suffix}`);
    expect((await stream.next()).data).toBe(v1);
  });

  test("the SDK key in a header", async () => {
    const { sdkKey, v2 } = publishKey(shared.upstream, "secret-events-header");
    using stream = await open("/v2/stream_config_specs", { "statsig-api-key": sdkKey });
    expect((await stream.next()).data).toBe(v2);
  });

  test.each([
    ["an unknown key", path("secret-events-unknown"), {}, 401],
    ["no key", "/v2/stream_config_specs", {}, 400],
    ["a malformed key", path("no%20key"), {}, 400],
    ["no acceptable coding", path("secret-a"), { "accept-encoding": "identity;q=0, br" }, 406],
    ["an unknown version", "/v3/stream_config_specs/secret-a", {}, 404],
  ] as const)("%s is an error", async (_, target, headers, status) => {
    using stream = await open(target, headers);
    expect([stream.status, stream.headers["server"]]).toEqual([status, "statsig-forward-proxy"]);
  });

  test.each(["HEAD", "POST", "PUT", "OPTIONS"])("%s is not allowed", async (method) => {
    const { status, headers } = await rawHttp(urlOf(path("secret-events-method")), { method });
    expect([status, headers["allow"]]).toEqual([405, "GET"]);
  });

  test("by HTTP/1.0 the body ends with the connection, and is not chunked", async () => {
    const { sdkKey, v2 } = publishKey(shared.upstream, "secret-events-http10");
    const { hostname, port } = new URL(shared.relay.httpUrl);
    const received = Promise.withResolvers<string>();
    let text = "";
    const socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_, bytes) => {
          text += bytes.toString();
          if (text.includes("\n\n", text.indexOf("data:"))) received.resolve(text);
        },
      },
    });
    socket.write(`GET ${path(sdkKey)} HTTP/1.0\r\n\r\n`);
    const [head, body] = (await received.promise).split("\r\n\r\n");
    socket.terminate();
    expect(head).not.toContain("transfer-encoding");
    expect(body).toEndWith(`event: spec\nid: ${FIRST_LCUT}\ndata: ${v2}\n\n`);
  });
});

test.each(["\n", "\r\n", "\r"])("line ends in a payload (%j) separate its data lines", async (lineEnd) => {
  const sdkKey = `secret-events-lines-${lineEnd.charCodeAt(0)}-${lineEnd.length}`;
  const spec = specV2({ lcut: FIRST_LCUT, sdkKey });
  const text = JSON.stringify(spec, undefined, 2).replaceAll("\n", lineEnd);
  shared.upstream.publish(sdkKey, "v2", `${lineEnd}${text}${lineEnd}`, FIRST_LCUT);
  for (const coding of ["identity", "gzip"]) {
    using stream = await open(path(sdkKey), { "accept-encoding": coding });
    const { data, event } = await stream.next();
    expect(event).toBe("spec");
    expect(JSON.parse(data ?? "")).toEqual(JSON.parse(text));
    expect(data).toBe(`\n${text}\n`.replaceAll(lineEnd, "\n"));
  }
});
