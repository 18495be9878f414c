import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";

const key = "secret-outage";
const text = listed("acme");
const proxy = { "proxy-id-lists": "true" };

async function startRelay(values: Readonly<Record<string, string>> = {}): Promise<IdListRelay> {
  const relay = await IdListRelay.start({ values });
  relay.upstream.put(key, "list", text);
  return relay;
}

const ask = (relay: IdListRelay, sdkKey = key) => fetch(`${relay.url}/v1/get_id_lists/${sdkKey}.json`);

describe("last known good", () => {
  const good = { name: "list", url: "http://x.example/f", fileID: "f", size: 1, creationTime: 1 };
  const answers: readonly [string, () => Response][] = [
    ["answers 500", () => new Response("no", { status: 500 })],
    ["answers 401", () => new Response("no", { status: 401 })],
    ["redirects", () => Response.redirect("http://127.0.0.1:1/", 302)],
    ["sends half a manifest", () => new Response(JSON.stringify({ list: good }).slice(0, 40))],
    ["sends a list", () => Response.json([good])],
    ["sends a string", () => Response.json("list")],
    ["sends null", () => Response.json(null)],
    [
      "sends a body that cannot be decoded",
      () => new Response("{}", { headers: { "content-encoding": "gzip" } }),
    ],
    ["sends too much", () => new Response(`{}${" ".repeat(5 * 1024 * 1024)}`)],
    ...[
      { size: -1 },
      { size: 1.5 },
      { size: "1" },
      { creationTime: null },
      { fileID: "" },
      { fileID: 1 },
      { name: undefined },
      { url: "no url" },
      { url: "file:///etc/passwd" },
    ].map((wrong): [string, () => Response] => [
      `sends an entry with ${JSON.stringify(wrong)}`,
      () => Response.json({ good, list: { ...good, ...wrong } }),
    ]),
  ];

  test.each(answers)("serves cached manifests if upstream %s", async (_, answer) => {
    for (const values of [{}, proxy]) {
      await using relay = await startRelay(values);
      const before = await (await ask(relay)).text();
      relay.upstream.fault = answer;
      await relay.poll();
      await eventually(() => expect(relay.log.some((line) => line.includes("upstream "))).toBe(true));
      const after = await ask(relay);
      expect([after.status, await after.text()]).toEqual([200, before]);

      relay.upstream.fault = () => undefined;
      relay.upstream.put(key, "newer", text);
      await relay.poll();
      await eventually(async () => expect(Object.keys(await relay.manifest(key))).toEqual(["list", "newer"]));
    }
  });

  test("serves manifest and files if upstream is down", async () => {
    await using relay = await startRelay(proxy);
    expect(await relay.text(key, "list")).toBe(text);
    await relay.upstream.stop();
    for (let polls = 0; polls < 3; polls++) relay.clock.wake(60_000.001, 66_000);
    await eventually(() => expect(relay.log.join("\n")).toContain("upstream failing for ID lists"));
    expect(await relay.text(key, "list")).toBe(text);
  });

  test("is removed by a 401 with --clear-datastore-on-unauthorized", async () => {
    await using relay = await startRelay({ "clear-datastore-on-unauthorized": "true" });
    expect((await ask(relay)).status).toBe(200);
    relay.upstream.fault = () => new Response("no", { status: 403 });
    await relay.poll();
    await eventually(async () => expect((await ask(relay)).status).toBe(401));
  });
});

describe("a manifest that is not cached", () => {
  test("responds 503 with Retry-After if upstream fails, and requests it again after a second", async () => {
    await using relay = await startRelay();
    relay.upstream.fault = () => new Response("no", { status: 500 });
    relay.clock.pass(0);
    const refused = await Promise.all([ask(relay), ask(relay), ask(relay)]);
    for (const answer of refused) {
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    }
    relay.upstream.fault = () => undefined;
    relay.clock.pass(999);
    expect((await ask(relay)).status).toBe(503);
    expect(relay.upstream.manifestsAsked(key)).toBe(1);
    relay.clock.pass(2);
    expect((await ask(relay)).status).toBe(200);
  });

  test("responds 503 if upstream sends garbage, and does not pass it on", async () => {
    await using relay = await startRelay();
    relay.upstream.fault = () => new Response("<html>");
    expect((await ask(relay)).status).toBe(503);
  });
});

test("no SDK key is logged in full, or sent to the host of files", async () => {
  const sdkKey = "secret-0123456789-0123456789";
  await using upstream = new IdListUpstream();
  await using relay = await IdListRelay.start({ upstream, values: { ...proxy, "debug-logging": "true" } });
  upstream.put(sdkKey, "list", text);
  await relay.manifest(sdkKey);
  upstream.fault = () => new Response("no", { status: 500 });
  await relay.poll();
  await ask(relay, "secret-9876543210-9876543210");
  await eventually(() => expect(relay.log.join("\n")).toContain("upstream failing for ID lists"));
  expect(relay.log.join("\n")).not.toContain("0123456789-0123456789");
  expect(relay.log.join("\n")).not.toContain("9876543210-9876543210");
  const files = upstream.requests.filter(({ path }) => path.startsWith("/files/"));
  expect(files.map(({ key: sent }) => sent)).toEqual([null]);
});
