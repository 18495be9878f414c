import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const specsOf = (relay: RelayProcess, key: string, version = "v2") =>
  fetch(`${relay.httpUrl}/${version}/download_config_specs/${key}.json`);

describe("the first request for a feed", () => {
  test("sends upstream one request for 200 concurrent clients", async () => {
    await using upstream = await startUpstream();
    upstream.publish("secret-a", "v2", specV2({ lcut: 1_000 }));
    const slowly = upstream.misbehave({ kind: "none" }, { delayMs: 300 });
    await using relay = await startRelayProcess({ upstream, pollIntervalS: 60 });
    const answers = await Promise.all(Array.from({ length: 200 }, () => specsOf(relay, "secret-a")));
    slowly();
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect(new Set(bodies).size).toBe(1);
    expect(upstream.count("/v2/download_config_specs/secret-a.json")).toBe(1);
  });

  test("caches upstream's 401 for a while: no second request for the same key", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream });
    for (let i = 0; i < 5; i++) {
      const answer = await specsOf(relay, "secret-unknown");
      expect([answer.status, answer.headers.get("content-type"), await answer.text()]).toEqual([
        401,
        "text/plain; charset=utf-8",
        "Unauthorized",
      ]);
    }
    expect(upstream.requests).toHaveLength(1);
  });

  test("returns 503 with Retry-After if upstream fails, and tries again after a second", async () => {
    await using upstream = await startUpstream();
    upstream.publish("secret-a", "v2", specV2({ lcut: 1_000 }));
    upstream.misbehave(status(500), {});
    await using relay = await startRelayProcess({ upstream });
    const began = performance.now();
    const failed = await specsOf(relay, "secret-a");
    expect([failed.status, failed.headers.get("retry-after"), await failed.json()]).toEqual([
      503,
      "1",
      {
        code: 503,
        reason: "Service Unavailable",
        message: "No config spec of this SDK key is cached, and none could be fetched: retry later",
      },
    ]);
    expect((await specsOf(relay, "secret-a")).status).toBe(503);
    // One, unless the machine has stood still meanwhile.
    expect(upstream.requests.length).toBeLessThan(2 + Math.floor((performance.now() - began) / 1_000));
    upstream.behave();
    await eventually(async () => expect((await specsOf(relay, "secret-a")).status).toBe(200));
  });

  test("rejects a malformed key with 400 without a request to upstream", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream });
    for (const key of ["a%2Fb", "a b", "sécret", "..", "x".repeat(201), ""]) {
      expect([key, (await specsOf(relay, key)).status]).toEqual([key, 400]);
    }
    const byHeader = await fetch(`${relay.httpUrl}/v1/download_config_specs`, {
      headers: { "statsig-api-key": "secret;rm" },
    });
    expect(byHeader.status).toBe(400);
    expect(upstream.requests).toHaveLength(0);
  });
});

describe("at most --maximum-concurrent-sdk-keys are cached", () => {
  test("evicts the least recently used key, and fetches it again when it is requested", async () => {
    await using upstream = await startUpstream();
    for (const key of ["secret-a", "secret-b", "secret-c"])
      upstream.publish(key, "v1", specV1({ lcut: 1_000 }));
    const args = ["-m", "2", "--unknown-key-rate-per-s", "10000"];
    await using relay = await startRelayProcess({ upstream, args, pollIntervalS: 60 });
    for (const key of ["secret-a", "secret-b", "secret-a", "secret-c"]) {
      expect((await specsOf(relay, key, "v1")).status).toBe(200);
    }
    const asked = (key: string) => upstream.count(`/v1/download_config_specs/${key}.json`);
    await specsOf(relay, "secret-a", "v1");
    expect([asked("secret-a"), asked("secret-b")]).toEqual([1, 1]);
    await specsOf(relay, "secret-b", "v1");
    expect(asked("secret-b")).toBe(2);
    await eventually(() => expect(relay.output()).toContain("evicted SDK key"));
  });

  test("1,000 invalid keys evict no valid key and cost no memory, and no key is ever logged whole", async () => {
    await using upstream = await startUpstream();
    upstream.publish("secret-valid-key-0123456789", "v2", specV2({ lcut: 1_000 }));
    await using relay = await startRelayProcess({ upstream, args: ["-m", "10", "--debug-logging"] });
    expect((await specsOf(relay, "secret-valid-key-0123456789")).status).toBe(200);
    const flood = async (round: number) => {
      const keys = Array.from({ length: 1_000 }, (_, i) => `secret-invalid-${round}-${i}-0123456789`);
      for (let at = 0; at < keys.length; at += 50) {
        const answers = await Promise.all(keys.slice(at, at + 50).map((key) => specsOf(relay, key)));
        // 429: beyond the rate of unknown keys, upstream is not asked.
        for (const { status } of answers) expect([401, 429]).toContain(status);
      }
    };
    await flood(0);
    const before = relay.rssBytes();
    await flood(1);
    await flood(2);
    // Garbage is freed after a while; what is kept of the keys is not.
    await eventually(() => expect(relay.rssBytes() - before).toBeLessThan(32 * 1024 * 1024), {
      withinMs: 20_000,
    });
    upstream.forgetRequests();
    expect((await specsOf(relay, "secret-valid-key-0123456789")).status).toBe(200);
    expect(relay.output()).not.toMatch(/secret-(valid|invalid)-[\w-]*0123456789/);
  }, 60_000);
});
