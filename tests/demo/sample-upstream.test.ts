import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Statsig, StatsigUser } from "@statsig/statsig-node-core";
import { type StatsigUser as LegacyUser, StatsigServer } from "statsig-node";
import { projectAt } from "../../src/demo/project.ts";
import { type SampleUpstream, startSampleUpstream } from "../../src/demo/upstream.ts";

type User = Omit<LegacyUser, "privateAttributes"> & { userID: string };

const sdkKey = "secret-demo";
const names = projectAt(1, 1);
const quiet = { disableExposureLogging: true };

const alice: User = {
  userID: "alice",
  email: "alice.b@shop.example",
  country: "DE",
  appVersion: "2.10.1",
  locale: "de-DE",
  userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
  customIDs: { stableID: "device-1", companyID: "acme" },
  custom: { plan: "gold", orders: 12, lifetime_value: 2000.5, age: 30, tags: ["wholesale"] },
};
const strangers = Array.from({ length: 40 }, (_, index): User => {
  const customIDs = { stableID: `device-${index}`, companyID: `company-${index}` };
  const custom = { plan: "silver", orders: index % 20, lifetime_value: index * 50, tags: ["gift"] };
  return { userID: `user-${index}`, country: "CH", appVersion: "2.2.9", customIDs, custom };
});

/** Forwards requests without the header for protobuf, which no option of the SDK turns off. */
function startJsonOnlyFront(upstreamUrl: string) {
  const front = async (request: Request) => {
    const { pathname, searchParams } = new URL(request.url);
    searchParams.delete("supports_proto");
    const headers = new Headers(request.headers);
    for (const name of ["host", "statsig-supports-proto"]) headers.delete(name);
    headers.set("accept-encoding", "identity");
    const body = request.method === "POST" ? await request.arrayBuffer() : null;
    return fetch(`${upstreamUrl}${pathname}?${searchParams}`, { method: request.method, headers, body });
  };
  return Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: front });
}

function newCore(baseUrl: string): Statsig {
  return new Statsig(sdkKey, {
    specsUrl: `${baseUrl}/v2/download_config_specs`,
    logEventUrl: `${baseUrl}/v1/log_event`,
    idListsUrl: `${baseUrl}/v1/get_id_lists`,
    enableIdLists: true,
    // The SDK replaces a shorter interval by 10 s.
    specsSyncIntervalMs: 1000,
    initTimeoutMs: 20_000,
    environment: "development",
    disableCountryLookup: true,
    waitForUserAgentInit: true,
    outputLogLevel: "none",
  });
}

function newLegacy(baseUrl: string): StatsigServer {
  return new StatsigServer(sdkKey, {
    api: `${baseUrl}/v1`,
    initTimeoutMs: 20_000,
    environment: { tier: "development" },
    initStrategyForIP3Country: "none",
    // The SDK polls at most every 5 s, so the tests sync explicitly.
    disableRulesetsSync: true,
    disableIdListsSync: true,
    disableDiagnostics: true,
  });
}

/** The common interface of both SDKs. */
interface Sdk<U> {
  checkGate(user: U, name: string, options: object): boolean;
  getExperiment(user: U, name: string, options: object): { value: unknown; getGroupName(): string | null };
  getLayer(user: U, name: string, options: object): { getValue(parameter: string): unknown };
}

function evaluateAll<U>(sdk: Sdk<U>, user: U): { [name: string]: unknown } {
  const found: { [name: string]: unknown } = {};
  for (const { name } of names.gates) found[name] = sdk.checkGate(user, name, quiet);
  for (const { name, entity } of names.configs) {
    const config = sdk.getExperiment(user, name, quiet);
    found[name] = entity === "experiment" ? [config.value, config.getGroupName()] : config.value;
  }
  for (const { name, defaultValue } of names.layers) {
    const layer = sdk.getLayer(user, name, quiet);
    found[name] = Object.keys(defaultValue).map((parameter) => layer.getValue(parameter));
  }
  return found;
}

async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`Not within 20 s: ${what}`);
    await Bun.sleep(20);
  }
}

describe("the three formats of the sample project", () => {
  let upstream: SampleUpstream;
  let front: ReturnType<typeof startJsonOnlyFront>;
  let cores: Statsig[];
  let legacy: StatsigServer;

  beforeAll(async () => {
    upstream = await startSampleUpstream({ hostname: "127.0.0.1", port: 0, changeEveryMs: 0 });
    front = startJsonOnlyFront(upstream.url);
    cores = [newCore(upstream.url), newCore(front.url.origin)];
    legacy = newLegacy(upstream.url);
    const started = await Promise.all([...cores.map((core) => core.initialize()), legacy.initializeAsync()]);
    expect(started).toMatchObject([{ isSuccess: true }, { isSuccess: true }, { success: true }]);
    const listed = (core: Statsig) => core.checkGate(new StatsigUser(alice), "b2b_pricing", quiet);
    await eventually("the ID list", () => cores.every(listed));
  });

  afterAll(async () => {
    await Promise.allSettled([...cores.map((core) => core.shutdown(1_000)), legacy.shutdownAsync(1_000)]);
    await front.stop(true);
    await upstream[Symbol.asyncDispose]();
  });

  test("contain the gates of a shop", () => {
    // statsig-core lists neither segments nor holdouts.
    const gates = names.gates.filter(({ entity }) => entity === "feature_gate").map(({ name }) => name);
    expect(gates.length).toBeGreaterThanOrEqual(20);
    for (const core of cores) expect(core.getFeatureGateList().toSorted()).toEqual(gates.toSorted());
    expect(legacy.getFeatureGateList()).toEqual(names.gates.map(({ name }) => name));
  });

  test("evaluate to the same values for every user", () => {
    for (const user of [alice, ...strangers]) {
      const expected = evaluateAll(legacy, user);
      for (const core of cores) expect(evaluateAll(core, new StatsigUser(user))).toEqual(expected);
    }
  });

  test("distinguish users", () => {
    const results = [alice, ...strangers].map((user) => evaluateAll(legacy, user));
    const variants = (name: string) => new Set(results.map((result) => JSON.stringify(result[name]))).size;
    for (const name of ["new_search", "dark_mode", "b2b_pricing", "mobile_app_prompt", "vip_support"]) {
      expect([name, variants(name)]).toEqual([name, 2]);
    }
    expect(variants("checkout_button_color")).toBe(3);
    expect(variants("product_page")).toBeGreaterThan(2);
  });

  test("fill a parameter store", () => {
    for (const core of cores) {
      const store = core.getParameterStore(new StatsigUser(alice), "storefront");
      const values = ["express_checkout", "banner_text", "button_color"].map((name) => store.getValue(name));
      expect(values).toEqual([true, "This is revision 1", "green"]);
    }
  });

  test("show a change after the next poll", async () => {
    expect(legacy.checkGate(alice, "demo_flip", quiet)).toBe(true);
    upstream.change();
    await legacy.syncStoreSpecs();
    const expected = evaluateAll(legacy, alice);
    expect(expected).toMatchObject({ demo_flip: false, demo_banner: { revision: 2 } });
    for (const core of cores) {
      const user = new StatsigUser(alice);
      const revision = () => core.getDynamicConfig(user, "demo_banner", quiet).getValue("revision");
      await eventually("the new revision", () => revision() === 2);
      expect(evaluateAll(core, user)).toEqual(expected);
    }
  });

  test("receive the events of SDKs", async () => {
    const before = upstream.eventCount();
    cores[0]?.logEvent(new StatsigUser(alice), "purchase", 3);
    await cores[0]?.flushEvents();
    const afterCore = upstream.eventCount();
    expect(afterCore).toBeGreaterThan(before);
    legacy.logEvent({ userID: "alice" }, "purchase", 3);
    await legacy.flush(15_000);
    expect(upstream.eventCount()).toBeGreaterThan(afterCore);
  });
});

test("the sample upstream requires its key, and respects Accept-Encoding and Range", async () => {
  await using upstream = await startSampleUpstream({ hostname: "127.0.0.1", port: 0, changeEveryMs: 0 });
  const get = (path: string, headers: { [name: string]: string } = {}) =>
    fetch(`${upstream.url}${path}`, { headers, decompress: false });
  const specs = "/v2/download_config_specs";
  expect((await get(specs, { "statsig-api-key": sdkKey })).status).toBe(200);
  expect((await get(`${specs}/${sdkKey}.json`, { "statsig-api-key": "secret-other" })).status).toBe(401);
  expect((await get(`${specs}/secret-other.json`)).status).toBe(401);

  const offers = { identity: null, "gzip, br;q=0": "gzip", "gzip, br": "br", "statsig-br, br": "statsig-br" };
  for (const [offer, coding] of Object.entries(offers)) {
    const answer = await get(`${specs}/${sdkKey}.json?supports_proto=true`, { "accept-encoding": offer });
    expect(answer.headers.get("content-encoding")).toBe(coding);
  }

  const list = "/v1/download_id_list_file/company_list_1";
  const whole = await (await get(list)).text();
  const part = await get(list, { range: "bytes=10-" });
  expect([part.status, await part.text()]).toEqual([206, whole.slice(10)]);
});
