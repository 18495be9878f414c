import { describe, expect, test } from "bun:test";
import { ClientTagReader, OTHER_CLIENT } from "../../src/telemetry/metrics/client-tags.ts";
import { MetricRegistry, OTHER } from "../../src/telemetry/metrics/registry.ts";
import { takeMeasurements } from "../../src/telemetry/push/measurement.ts";

const headersOf = (type: string, version: string, service?: string) =>
  new Headers({
    "statsig-sdk-type": type,
    "statsig-sdk-version": version,
    ...(service !== undefined && { "x-request-service": service }),
  });

describe("what a client says about itself", () => {
  test("becomes tags", () => {
    const reader = new ClientTagReader(10);
    const sent = headersOf("py-server", " 1.2.3-beta.1 ", "checkout/api");
    expect(reader.read(sent)).toEqual({
      sdk_type: "py-server",
      sdk_version: "1.2.3-beta.1",
      client_service: "checkout/api",
    });
    expect(reader.read(sent)).toBe(reader.read(headersOf("py-server", "1.2.3-beta.1", "checkout/api")));
  });

  test("is unknown if it is not sent or blank", () => {
    const unknown = { sdk_type: "unknown", sdk_version: "unknown", client_service: "unknown" };
    expect(new ClientTagReader(10).read(new Headers())).toEqual(unknown);
    expect(new ClientTagReader(10).read(headersOf("", " ", ""))).toEqual(unknown);
  });

  test.each(["Py Server", "x|y", "a,b", "a:b", "secret-abcdef", "client-abcdef", "s".repeat(41)])(
    "is other if it is no name of an SDK: %p",
    (type) => expect(new ClientTagReader(10).read(headersOf(type, "1")).sdk_type).toBe(OTHER),
  );

  test.each(["v1", "1|c", "1,2", "secret-abc", `1${"0".repeat(32)}`])(
    "is other if it is no version: %p",
    (version) => expect(new ClientTagReader(10).read(headersOf("a", version)).sdk_version).toBe(OTHER),
  );

  test.each(["a b", "a#b", "a:b", "secret-AbCdEf", "Client-AbCdEf", "s".repeat(65)])(
    "is other if it is no name of a service: %p",
    (service) =>
      expect(new ClientTagReader(10).read(headersOf("a", "1", service)).client_service).toBe(OTHER),
  );

  test("is other as a whole beyond the limit of clients, and for long headers", () => {
    const reader = new ClientTagReader(3);
    for (const version of ["1", "2", "3"])
      expect(reader.read(headersOf("a", version)).sdk_version).toBe(version);
    for (let at = 4; at < 5_000; at++) expect(reader.read(headersOf("a", `${at}`))).toBe(OTHER_CLIENT);
    expect(reader.read(headersOf("a", "2")).sdk_version).toBe("2");
    expect(new ClientTagReader(3).read(headersOf("a".repeat(300), "1"))).toBe(OTHER_CLIENT);
  });
});

describe("series by client", () => {
  const NAME = "HttpServerRequestSuccess";
  const tagsOf = (key: string, version: string) => ({
    sdk_key: key,
    path: "/v2/download_config_specs",
    status_code: "200",
    "accept-encoding": "none",
    "content-encoding": "identity",
    response_payload_type: "full",
    sdk_type: "py-server",
    sdk_version: version,
    client_service: "unknown",
  });

  test("are bounded: from half of the limit on, clients become other before keys do, and nothing is lost", async () => {
    const registry = new MetricRegistry({ maxSeries: 300, keepsSamples: true });
    for (let at = 0; at < 2_000; at++)
      registry.clientSeries(NAME, tagsOf(`secret-${at % 40}*abc`, `1.${at}`)).record(1);
    const counts = (await takeMeasurements(registry, "4.1")).flatMap((each) =>
      each.kind === "count" && each.name.includes(NAME) ? [each] : [],
    );
    expect(counts.length).toBeWithin(41, 300);
    expect(counts.reduce((sum, { value }) => sum + value, 0)).toBe(2_000);
    expect(counts.map(({ tags }) => tags["sdk_key"])).not.toContain(OTHER);
    expect(new Set(counts.map(({ tags }) => tags["sdk_key"])).size).toBe(40);
    const perKey = new Map(counts.map(({ tags }) => [tags["sdk_key"], 0]));
    for (const { tags, value } of counts)
      perKey.set(tags["sdk_key"], (perKey.get(tags["sdk_key"]) ?? 0) + value);
    expect(new Set(perKey.values())).toEqual(new Set([50]));
  });

  test("of a forgotten key are pushed as other, once", async () => {
    const registry = new MetricRegistry({ maxSeries: 300, keepsSamples: true });
    registry.clientSeries(NAME, tagsOf("secret-a*abc", "1")).record(1);
    registry.forgetKey("secret-a*abc", () => true);
    const counts = (await takeMeasurements(registry, "4.1")).filter(({ kind }) => kind === "count");
    expect(counts.map(({ tags, ...each }) => [each, tags["sdk_key"]])).toMatchObject([
      [{ kind: "count", value: 1 }, OTHER],
    ]);
  });

  test("do not exist if nothing is pushed", () => {
    const registry = new MetricRegistry({ maxSeries: 300, keepsSamples: false });
    expect(registry.isPushing).toBe(false);
    expect(() => registry.clientSeries(NAME, tagsOf("secret-a*abc", "1"))).toThrow("not pushed by client");
  });
});
