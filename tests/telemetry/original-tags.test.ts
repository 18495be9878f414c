import { describe, expect, test } from "bun:test";
import { parseSdkKey, type SdkKey, shortenSdkKey } from "../../src/access/sdk-key.ts";
import { KeyTags, toTags } from "../../src/telemetry/metrics/tags.ts";
import { toOriginalTags } from "../../src/telemetry/push/original-tags.ts";
import { masked } from "../support/telemetry/status-report.ts";

const keyOf = (text: string) => parseSdkKey(text) as SdkKey;
const LONG = "secret-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789";
const row = { name: "HttpServerRequestSuccess" };

const pushed = (tag: string, value: string, format: "4.1" | "4.4" = "4.1") =>
  toOriginalTags(row, { tags: { [tag]: value }, latest: {} }, format)[tag];

describe("an SDK key in pushed metrics", () => {
  test("is cut after 20 characters", () => {
    expect(shortenSdkKey(keyOf(LONG))).toBe("secret-AbCdEfGhIjKlM***");
    expect(shortenSdkKey(keyOf("k".repeat(36)))).toBe(`${"k".repeat(20)}***`);
  });

  test.each([1, 7, 20, 21, 35])("of %i characters is masked: too little of it would be hidden", (length) => {
    const key = keyOf("k".repeat(length));
    expect(shortenSdkKey(key)).toBe(masked(key));
  });

  test("is found for the tag of a feed, and for that of a request with a known key", () => {
    const { sdk_key: ofFeed } = toTags({ sdkKey: keyOf(LONG), version: "v2", format: "json" });
    expect(pushed("sdk_key", ofFeed)).toBe("secret-AbCdEfGhIjKlM***");
    const other = keyOf(`${LONG}-of-a-request`);
    const keys = new KeyTags();
    expect(pushed("sdk_key", keys.of(other).sdk_key)).toBe("unknown");
    keys.knownBy(() => true);
    expect(pushed("sdk_key", keys.of(other).sdk_key)).toBe("secret-AbCdEfGhIjKlM***");
  });

  test("stays masked if it was never seen whole", () => {
    expect(pushed("sdk_key", "secret-zzz*123abc")).toBe("secret-zzz*123abc");
  });
});

describe("tags of pushed metrics", () => {
  test.each([
    ["none", "[]", "none"],
    ["gzip", "[Gzip]", "gzip"],
    ["br+gzip", "[Gzip, Brotli]", "gzip+br"],
    [
      "statsig-br+zstd+br+gzip+deflate",
      "[Gzip, Brotli, StatsigBrotli, Deflate, Zstd]",
      "statsig-br+gzip+br+zstd+deflate",
    ],
    ["plain_text", "[PlainText]", "plain_text"],
    ["other", "other", "other"],
  ])("accept-encoding %s is %s, since 4.2 %s", (label, as41, as44) => {
    expect(pushed("accept-encoding", label)).toBe(as41);
    expect(pushed("accept-encoding", label, "4.4")).toBe(as44);
  });

  test("are in the order of the original, followed by those of the relay, without empty ones", () => {
    const tags = {
      reason: "r",
      response_payload_type: "",
      "content-encoding": "identity",
      "accept-encoding": "none",
      status_code: "200",
      path: "/v1/log_event",
      sdk_key: "unknown",
    };
    expect(Object.entries(toOriginalTags(row, { tags, latest: { lcut: "5" } }, "4.1"))).toEqual([
      ["sdk_key", "unknown"],
      ["path", "/v1/log_event/"],
      ["lcut", "5"],
      ["status_code", "200"],
      ["accept-encoding", "[]"],
      ["content-encoding", ""],
      ["reason", "r"],
    ]);
  });

  test.each(["/v1/health", "other", "/", "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec"])(
    "the path %s has no slash at its end",
    (path) => expect(pushed("path", path)).toBe(path),
  );
});
