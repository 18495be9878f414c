import { describe, expect, test } from "bun:test";
import { rawGet, textOf } from "../clients/raw-get.ts";
import { eventually } from "../common/wait.ts";
import { FIRST_LCUT, forKey, type PublishedKey, publishKey, versionOf } from "../upstream/published-key.ts";
import { startUpstream, status } from "../upstream/upstream.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";
import { isOnDeno } from "./runtime.ts";

export const ask = (relay: RelayProcess, key: string, headers = {}) =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${key}.json`, headers);

/** The limit of a test that starts 20 relays: on Deno it takes 35 s, and on a busy machine longer than that. */
const KILLS_LIMIT_MS = isOnDeno ? 150_000 : 120_000;

const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };

/**
 * `backup` returns options for relays that share one backup. `writes` resolves when the relay may write to it.
 */
export function describeBackedUpRelay(name: string, backup: () => RelayOptions): void {
  const start = (options: RelayOptions = {}) => {
    const [ours, theirs] = [backup(), options];
    return startRelayProcess({ ...ours, ...theirs, args: [...(ours.args ?? []), ...(theirs.args ?? [])] });
  };

  describe(`a relay with the ${name} backup`, () => {
    test("killed and restarted with upstream down, it answers a client that brings its key: JSON and protobuf", async () => {
      await using upstream = await startUpstream();
      const key = publishKey(upstream, `secret-restart-${name}`, 3);
      {
        await using relay = await start({ upstream });
        expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
        expect((await ask(relay, key.sdkKey, PROTO)).body.equals(key.proto)).toBe(true);
        await eventually(() => expect(upstream.requests.length).toBeGreaterThan(2));
        await relay.kill();
      }
      await upstream.stop();
      await using relay = await start({ upstream });
      expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
      expect((await ask(relay, key.sdkKey, PROTO)).body.equals(key.proto)).toBe(true);
      expect(relay.output()).not.toContain("no config to serve");
      expect((await ask(relay, `secret-never-seen-${name}`)).status).toBe(503);
      await eventually(() => expect(relay.output()).toContain("upstream failing, no config to serve"));
      expect(relay.output()).toContain(`source=${name}`);
    });

    test("clients asked for protobuf alone: after a restart without upstream, a client of JSON gets the newest version, too", async () => {
      await using upstream = await startUpstream();
      const { sdkKey } = publishKey(upstream, `secret-json-beside-${name}`);
      const jsonRequests = () =>
        upstream.requests.filter(({ path, query }) => path.includes(sdkKey) && !query.has("supports_proto"));
      {
        await using relay = await start({ upstream });
        await ask(relay, sdkKey, PROTO);
        await eventually(() => expect(jsonRequests()).toHaveLength(1));
        const newer = publishKey(upstream, sdkKey, 1);
        await eventually(async () =>
          expect((await ask(relay, sdkKey, PROTO)).body.equals(newer.proto)).toBe(true),
        );
        await eventually(() => expect(jsonRequests()).toHaveLength(2));
        upstream.forgetRequests();
        await eventually(() => expect(upstream.requests.length).toBeGreaterThan(1));
        expect(jsonRequests()).toEqual([]);
        await relay.stop();
      }
      await upstream.stop();
      await using relay = await start({ upstream });
      expect(textOf(await ask(relay, sdkKey))).toBe(versionOf(sdkKey, 1).v2);
    });

    test("a feed from the backup is still polled: upstream's newer version is served when it is back", async () => {
      await using upstream = await startUpstream();
      const key = publishKey(upstream, `secret-polled-${name}`);
      {
        await using relay = await start({ upstream });
        await ask(relay, key.sdkKey);
        // A version is served before it is stored if that takes long.
        await relay.stop();
      }
      await upstream.stop();
      await using relay = await start({ upstream });
      expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
      const newer = publishKey(upstream, key.sdkKey, 1);
      await upstream.restart();
      await eventually(async () => expect(textOf(await ask(relay, key.sdkKey))).toBe(newer.v2));
    });

    test("an upstream that hangs: the backup answers after a second, and the newer one wins in the end", async () => {
      await using upstream = await startUpstream();
      const key = publishKey(upstream, `secret-slow-${name}`);
      {
        await using relay = await start({ upstream });
        await ask(relay, key.sdkKey);
        // A version is served before it is stored if that takes long.
        await relay.stop();
      }
      const newer = publishKey(upstream, key.sdkKey, 1);
      const hang = Promise.withResolvers<void>();
      upstream.misbehave({ kind: "none" }, { until: hang.promise, ...forKey(key.sdkKey) });
      await using relay = await start({ upstream });
      const began = performance.now();
      expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
      expect(performance.now() - began).toBeGreaterThan(900);
      hang.resolve();
      await eventually(async () => expect(textOf(await ask(relay, key.sdkKey))).toBe(newer.v2));
    });

    test.each([401, 403])(
      "restarted while upstream says %d, it serves what the backup has, and says so; other keys are 401",
      async (code) => {
        await using upstream = await startUpstream();
        const [asked, preloaded] = ["asked", "preloaded"].map((which) =>
          publishKey(upstream, `secret-${code}-${which}-${name}-0123456789`),
        ) as [PublishedKey, PublishedKey];
        {
          await using relay = await start({ upstream });
          for (const { sdkKey } of [asked, preloaded]) await ask(relay, sdkKey);
          await ask(relay, asked.sdkKey, PROTO);
          await relay.stop();
        }
        upstream.misbehave(status(code));
        const args = ["--preload-sdk-keys", preloaded.sdkKey];
        await using relay = await start({ upstream, args });
        await eventually(async () => expect((await rawGet(`${relay.httpUrl}/v1/ready`)).status).toBe(200));
        for (const { sdkKey, v2 } of [preloaded, asked]) expect(textOf(await ask(relay, sdkKey))).toBe(v2);
        expect((await ask(relay, asked.sdkKey, PROTO)).body.equals(asked.proto)).toBe(true);
        expect((await ask(relay, `secret-stranger-${name}`)).status).toBe(401);
        await eventually(() =>
          expect(relay.output()).toContain("upstream failing, serving last known config cause=unauthorized"),
        );
        for (const { sdkKey, v2 } of [preloaded, asked]) expect(textOf(await ask(relay, sdkKey))).toBe(v2);
        upstream.behave();
        const newer = publishKey(upstream, asked.sdkKey, 1);
        await eventually(async () => expect(textOf(await ask(relay, asked.sdkKey))).toBe(newer.v2));
      },
      60_000,
    );

    test("with --clear-datastore-on-unauthorized, upstream's 401 empties the backup", async () => {
      await using upstream = await startUpstream();
      const key = publishKey(upstream, `secret-revoked-${name}`);
      {
        await using relay = await start({ upstream, args: ["--clear-datastore-on-unauthorized"] });
        expect((await ask(relay, key.sdkKey)).status).toBe(200);
        upstream.forget(key.sdkKey);
        await eventually(async () => expect((await ask(relay, key.sdkKey)).status).toBe(401));
        // A clean shutdown completes pending removals.
        await relay.stop();
      }
      await upstream.stop();
      await using relay = await start({ upstream });
      expect((await ask(relay, key.sdkKey)).status).toBe(503);
    });

    test("no SDK key is printed whole", async () => {
      await using upstream = await startUpstream();
      const { sdkKey } = publishKey(upstream, `secret-printed-${name}-0123456789`);
      upstream.misbehave(status(500), { times: 1 });
      await using relay = await start({ upstream, args: ["--debug-logging"] });
      await eventually(async () => expect((await ask(relay, sdkKey)).status).toBe(200));
      await relay.stop();
      expect(relay.output()).not.toContain(sdkKey);
    });

    test(
      "kill -9 in random moments of many updates: what is left is whole, and no older than what was served",
      async () => {
        await using upstream = await startUpstream();
        const sdkKey = `secret-killed-${name}`;
        let number = 0;
        publishKey(upstream, sdkKey, number);
        const publishing = setInterval(() => publishKey(upstream, sdkKey, ++number), 15);
        try {
          for (let round = 0; round < 10; round++) {
            await using relay = await start({ upstream });
            await ask(relay, sdkKey);
            const until = performance.now() + 700 + Math.random() * 800;
            let served = 0;
            while (performance.now() < until) {
              served = Number((await ask(relay, sdkKey)).headers["x-since-time"]);
            }
            await relay.kill();
            await upstream.stop();
            await using next = await start({ upstream });
            const left = await eventually(async () => {
              const answer = await ask(next, sdkKey);
              expect(answer.status).toBe(200);
              return JSON.parse(textOf(answer)) as { time: number };
            });
            expect(left.time).toBeGreaterThanOrEqual(served);
            expect(textOf(await ask(next, sdkKey))).toBe(
              versionOf(sdkKey, (left.time - FIRST_LCUT) / 60_000).v2,
            );
            await upstream.restart();
          }
        } finally {
          clearInterval(publishing);
        }
      },
      KILLS_LIMIT_MS,
    );
  });
}
