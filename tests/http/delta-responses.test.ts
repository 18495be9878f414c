import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CachingNginx } from "../support/clients/caching-nginx.ts";
import { curl } from "../support/clients/curl.ts";
import { type RawResponse, rawGet } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { applyEdits, newProject } from "../support/deltas/edits.ts";
import { bodyOf, type ProjectVersion } from "../support/deltas/project-version.ts";
import { SdkSpecs } from "../support/deltas/sdk-specs.ts";
import { Authority } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { type RelayWithTlsOptions, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const CODINGS = { "accept-encoding": "statsig-br, gzip, deflate, br" };
const SPECS = "/v2/download_config_specs";
const DELTAS = "/v2/download_config_specs_deltas";

const first = newProject();
const second = changed(first, 1);
const third = changed(second, 2);

function changed(version: ProjectVersion, at: number): ProjectVersion {
  const edited = applyEdits(version, [{ kind: "change", at, content: at }]);
  return { ...edited, time: version.time + 1_000, checksum: `850669963923370800${at}` };
}

type Query = Readonly<Record<string, string>>;

/** The query of a client that holds this version and accepts deltas. */
const holding = ({ time, checksum }: ProjectVersion, more: Query = {}): Query => ({
  supports_proto: "true",
  accept_deltas: "true",
  sinceTime: String(time),
  checksum,
  ...more,
});

const without = (query: Query, name: string): Query =>
  Object.fromEntries(Object.entries(query).filter(([each]) => each !== name));

const urlOf = (base: string, route: string, sdkKey: string, query: Query): string =>
  `${base}${route}/${sdkKey}.json?${new URLSearchParams(query)}`;

/** A relay that has seen versions of a project one after the other. */
class DeltaRelay implements AsyncDisposable {
  readonly upstream: Upstream;
  readonly relay: RelayProcess;
  readonly #stack: AsyncDisposableStack;

  private constructor(upstream: Upstream, relay: RelayProcess, stack: AsyncDisposableStack) {
    this.upstream = upstream;
    this.relay = relay;
    this.#stack = stack;
  }

  static async start(options: RelayWithTlsOptions = {}): Promise<DeltaRelay> {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startUpstream());
    const relay = stack.use(await startRelayWithTls({ ...options, upstream }));
    return new DeltaRelay(upstream, relay, stack.move());
  }

  /** Publishes the versions as protobuf and as JSON, each once the relay serves the one before. */
  async show(sdkKey: string, versions: readonly ProjectVersion[]): Promise<void> {
    for (const version of versions) {
      const { time, checksum } = version;
      this.upstream.publishProto(sdkKey, bodyOf(version), time);
      this.upstream.publish(sdkKey, "v1", specV1({ lcut: time, checksum, sdkKey }));
      this.upstream.publish(sdkKey, "v2", specV2({ lcut: time, checksum, sdkKey }));
      await eventually(
        async () => {
          const { headers } = await this.get(sdkKey, { supports_proto: "true" });
          expect(headers["x-since-time"]).toBe(String(time));
        },
        { withinMs: 15_000 },
      );
    }
  }

  get(
    sdkKey: string,
    query: Query,
    { route = SPECS, headers = CODINGS as Query } = {},
  ): Promise<RawResponse> {
    return rawGet(urlOf(this.relay.httpUrl, route, sdkKey, query), headers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

/** The headers that stay the same until there is another version: polls confirm a version. */
function lastingHeaders({ headers }: RawResponse) {
  const { date: _date, "x-sfp-confirmed-at": _confirmedAt, ...lasting } = headers;
  return lasting;
}

const isDelta = ({ headers }: RawResponse): boolean => headers["x-deltas-used"] === "true";

/** Checks that a client of this version has the newest version afterwards. */
function expectDelta(body: Uint8Array, held: ProjectVersion, newest: ProjectVersion): void {
  const before = SdkSpecs.fromPayload(bodyOf(held));
  const after = SdkSpecs.fromPayload(bodyOf(newest));
  const applied = SdkSpecs.fromDelta(body, before);
  expect(applied.entities()).toEqual(after.entities());
  expect(applied.topLevel).toEqual(after.topLevel);
}

const sdkKey = "secret-delta-responses";

describeWith("curl", "openssl")("deltas over HTTP", () => {
  let setup: DeltaRelay;
  const authority = new Authority();
  beforeAll(async () => {
    setup = await DeltaRelay.start({
      server: authority.issue(),
      args: ["--enforce-tls", "false", "--serving-threads", "2"],
    });
    await setup.show(sdkKey, [first, second, third]);
  });
  afterAll(async () => {
    await setup[Symbol.asyncDispose]();
    authority[Symbol.dispose]();
  });

  const get = (query: Query, headers: Query = CODINGS, key = sdkKey) => setup.get(key, query, { headers });
  const whole = () => get({ supports_proto: "true" });
  const ask = (query: Query, headers: Query = CODINGS) =>
    setup.get(sdkKey, query, { route: DELTAS, headers });

  test("a client that accepts deltas gets one from the version that it holds", async () => {
    for (const held of [first, second]) {
      const { status, headers, body } = await get(holding(held));
      expect(status).toBe(200);
      expect(headers).toMatchObject({
        "content-type": "application/octet-stream",
        "content-encoding": "statsig-br",
        "content-length": String(body.length),
        "x-since-time": String(third.time),
        "x-deltas-used": "true",
        "cache-control": "private, no-store",
        vary: expect.stringContaining("accept-encoding"),
        "x-sfp-source": "upstream",
      });
      expectDelta(body, held, third);
    }
  });

  test("every delta and the whole payload have an entity tag of their own", async () => {
    const responses = [await whole(), await get(holding(first)), await get(holding(second))];
    const tags = responses.map(({ headers }) => headers.etag);
    expect(new Set(tags).size).toBe(3);
    for (const tag of tags) expect(tag).toMatch(/^"[\w-]+"$/);
  });

  test("a client that holds the whole payload of an earlier version in its HTTP cache gets a delta", async () => {
    const { headers } = await whole();
    const response = await get(holding(first), { ...CODINGS, "if-none-match": `"other", ${headers.etag}` });
    expect([response.status, isDelta(response)]).toEqual([200, true]);
  });

  test.each([
    ["http", "--http1.1"],
    ["http", "--http2-prior-knowledge"],
    ["https", "--http1.1"],
    ["https", "--http2"],
  ])("%s, curl %s", async (protocol, version) => {
    const url = urlOf(setup.relay.urlOf(protocol), SPECS, sdkKey, holding(first));
    const header = `accept-encoding: ${CODINGS["accept-encoding"]}`;
    const args = ["--cacert", authority.caPath, version, "-H", header];
    const { status, headers, body } = await curl(...args, url);
    // The HTTP port has no HTTP/2.
    if (status === 0) return expect([protocol, version]).toEqual(["http", "--http2-prior-knowledge"]);
    expect([status, headers.get("x-deltas-used")]).toEqual([200, "true"]);
    expectDelta(body, first, third);
    const head = await curl(...args, "--head", url);
    expect([head.status, head.body.length]).toEqual([200, 0]);
    for (const name of ["etag", "content-length", "content-encoding", "x-deltas-used", "cache-control"])
      expect([name, head.headers.get(name)]).toEqual([name, headers.get(name)]);
  });

  test("a client without a checksum gets a delta, since its time stands for one content", async () => {
    for (const query of [without(holding(first), "checksum"), holding(first, { checksum: "" })])
      expectDelta((await get(query)).body, first, third);
  });

  test("the format can be requested by the header", async () => {
    const headers = { ...CODINGS, "statsig-supports-proto": "true" };
    expect(isDelta(await get(without(holding(first), "supports_proto"), headers))).toBe(true);
  });

  describe("the whole payload, as it is without deltas", () => {
    const later = String(first.time + 1);
    test.each<[string, Query]>([
      ["to a client that does not ask for deltas", without(holding(first), "accept_deltas")],
      ["to a client that refuses deltas", holding(first, { accept_deltas: "false" })],
      ["from a version that the relay does not know", holding(first, { sinceTime: later })],
      ["from an older version", holding(first, { sinceTime: "1" })],
      ["with the checksum of another version", holding(first, { checksum: second.checksum })],
      ["with a checksum that the relay does not know", holding(first, { checksum: "1" })],
      ["with an unknown checksum of the newest version", holding(third, { checksum: "1" })],
      ["to a client that holds nothing: 0", holding(first, { sinceTime: "0" })],
      ["to a client that holds nothing", without(holding(first), "sinceTime")],
      ["to a client with an invalid version", holding(first, { sinceTime: "x" })],
    ])("%s", async (_, query) => {
      const [response, expected] = [await get(query), await whole()];
      expect(response.body.equals(bodyOf(third))).toBe(true);
      expect(isDelta(response)).toBe(false);
      expect(expected.headers).toMatchObject(lastingHeaders(response));
    });
  });

  test("no update to a client that holds the newest version", async () => {
    const response = await get(holding(third));
    expect(response.body.toString()).toBe('{"has_updates":false}');
    expect(response.headers).toMatchObject({ "content-type": "application/json", "x-cache-hit": "true" });
    expect(isDelta(response)).toBe(false);
  });

  test.each<[string, string, Query, Query]>([
    ["does not support protobuf", SPECS, without(holding(first), "supports_proto"), CODINGS],
    ["denies protobuf", SPECS, holding(first, { supports_proto: "false" }), CODINGS],
    ["does not accept statsig-br", SPECS, holding(first), { "accept-encoding": "gzip, br" }],
    ["excludes statsig-br", SPECS, holding(first), { "accept-encoding": "statsig-br;q=0, gzip" }],
    ["reads v1", "/v1/download_config_specs", holding(first), CODINGS],
  ])("JSON without deltas to a client that %s", async (_, route, query, headers) => {
    const response = await setup.get(sdkKey, query, { route, headers });
    expect(response.headers["content-type"]).toBe("application/json");
    expect([response.status, isDelta(response)]).toEqual([200, false]);
  });

  describe("/v2/download_config_specs_deltas", () => {
    test("has the delta, as the other route", async () => {
      const [asked, other] = [await ask(holding(first)), await get(holding(first))];
      expect([asked.status, asked.body]).toEqual([200, other.body]);
      expect(asked.headers).toMatchObject(lastingHeaders(other));
      expect(isDelta(await ask(without(holding(first), "accept_deltas")))).toBe(true);
    });

    test("says that there is no update, on this route with x-deltas-used", async () => {
      const { status, headers, body } = await ask(holding(third));
      expect([status, body.toString()]).toEqual([200, '{"has_updates":false}']);
      expect(headers).toMatchObject({ "x-deltas-used": "true", "x-cache-hit": "true" });
      expect(isDelta(await get(holding(third)))).toBe(false);
    });

    test.each<[number, string, Query]>([
      [409, "a version that the relay does not know", holding(first, { sinceTime: "1" })],
      [409, "another checksum", holding(first, { checksum: second.checksum })],
      [409, "another checksum of the newest version", holding(third, { checksum: "1" })],
      [400, "without protobuf", without(holding(first), "supports_proto")],
      [400, "with supports_proto=false", holding(first, { supports_proto: "false" })],
      [400, "without sinceTime", without(holding(first), "sinceTime")],
      [400, "with sinceTime=0", holding(first, { sinceTime: "0" })],
      [400, "with an invalid sinceTime", holding(first, { sinceTime: "-1" })],
    ])("%d: %s", async (status, _, query) => {
      const response = await ask(query);
      expect([response.status, isDelta(response)]).toEqual([status, false]);
      expect(response.headers["content-type"]).toContain("application/json");
    });

    test("406 without statsig-br", async () => {
      expect((await ask(holding(first), { "accept-encoding": "gzip" })).status).toBe(406);
    });

    test("401 to an unknown SDK key", async () => {
      const response = await setup.get("secret-of-nobody", holding(first), { route: DELTAS });
      expect(response.status).toBe(401);
    });
  });

  test("a checksum is compared as text, however it is encoded in the URL", async () => {
    const key = "secret-delta-checksums";
    const base64 = { ...first, checksum: "a+b/c==" };
    const next = changed(base64, 1);
    await setup.show(key, [base64, next]);
    const url = urlOf(setup.relay.httpUrl, SPECS, key, without(holding(base64), "checksum"));
    // Once, twice as statsig-node-core 0.23.2 does, and not.
    for (const checksum of ["a%2Bb%2Fc%3D%3D", "a%252Bb%252Fc%253D%253D", "a+b/c=="]) {
      const response = await rawGet(`${url}&checksum=${checksum}`, CODINGS);
      expect([checksum, isDelta(response)]).toEqual([checksum, true]);
    }
  });

  test("concurrent clients of different versions each get what fits theirs", async () => {
    const held = Array.from({ length: 40 }, (_, number) => [first, second, third][number % 3] ?? first);
    const responses = await Promise.all(held.map((version) => get(holding(version))));
    for (const [at, { body }] of responses.entries()) {
      const version = held[at] ?? first;
      if (version !== third) expectDelta(body, version, third);
      else expect(body.toString()).toBe('{"has_updates":false}');
    }
  });

  describeWith("nginx")("behind a caching nginx", () => {
    test.each(["$uri$is_args$args", "$uri"])("whose cache key is %s", async (cacheKey) => {
      const key = `secret-delta-cached-${cacheKey.length}`;
      await setup.show(key, [first, second]);
      await using nginx = await CachingNginx.start(setup.relay.httpUrl, cacheKey);
      const through = (query: Query) => rawGet(urlOf(nginx.url, SPECS, key, query), CODINGS);
      for (let times = 0; times < 2; times++) {
        const delta = await through(holding(first));
        expect(delta.headers).toMatchObject({ "x-cache": "MISS", "x-deltas-used": "true" });
        expectDelta(delta.body, first, second);
        expect((await through({ supports_proto: "true" })).body.equals(bodyOf(second))).toBe(true);
        expect((await through(holding(second))).body.toString()).toBe('{"has_updates":false}');
      }
      await setup.show(key, [third]);
      for (const held of [first, second]) expectDelta((await through(holding(held))).body, held, third);
    });
  });
});

test("--delta-history 0 turns deltas off", async () => {
  await using setup = await DeltaRelay.start({ args: ["--delta-history", "0"] });
  await setup.show(sdkKey, [first, second]);
  const response = await setup.get(sdkKey, holding(first));
  expect(response.body.equals(bodyOf(second))).toBe(true);
  expect(isDelta(response)).toBe(false);
  expect((await setup.get(sdkKey, holding(first), { route: DELTAS })).status).toBe(409);
}, 60_000);

test("--delta-history limits the versions from which there are deltas", async () => {
  await using setup = await DeltaRelay.start({ args: ["--delta-history", "1"] });
  await setup.show(sdkKey, [first, second, third]);
  expect(isDelta(await setup.get(sdkKey, holding(second)))).toBe(true);
  expect(isDelta(await setup.get(sdkKey, holding(first)))).toBe(false);
}, 60_000);
