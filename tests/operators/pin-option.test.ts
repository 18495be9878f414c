import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { startOperatedRelay } from "../support/relay/operated-relay.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { lcutOf, publishGate } from "../support/upstream/gate-versions.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-pinned-by-option";

describe("--pin", () => {
  test("keeps a key at a version, by a file that SIGHUP reads again; operators cannot release it", async () => {
    await using upstream = await startUpstream();
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "sfp-pin-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "pins");
    await writeFile(path, `${KEY}=${lcutOf(2)}\n`);
    publishGate(upstream, KEY, { number: 1, gateValue: true });
    await using relay = await startOperatedRelay({ upstream, args: ["--pin", `@${path}`] });
    expect((await relay.served(KEY)).color).toBe("color 1");
    // Up to the version of the option, and not beyond.
    publishGate(upstream, KEY, { number: 2, gateValue: true });
    await eventually(async () => expect((await relay.served(KEY)).color).toBe("color 2"));
    publishGate(upstream, KEY, { number: 3, gateValue: true });
    await eventually(() => expect(relay.relay.output()).toContain("newer config specs held back"));
    expect(await relay.served(KEY)).toEqual({ lcut: lcutOf(2), color: "color 2" });
    for (const order of ["rollback", "pin", "unpin"]) {
      const { status, body } = await relay.order(`/v1/${order}`, { key: KEY });
      expect([status, body.message]).toEqual([409, expect.stringContaining("pinned by the option --pin")]);
    }
    const [pin] = (await relay.status()).pins;
    expect(pin).toMatchObject({
      source: "config",
      lcut: lcutOf(2),
      since: null,
      by: null,
      held_back: 1,
      missing_feeds: 0,
    });

    await writeFile(path, `${KEY}=${lcutOf(1)}\n`);
    relay.relay.signal("SIGHUP");
    await eventually(async () =>
      expect(await relay.served(KEY)).toEqual({ lcut: lcutOf(2) + 1, color: "color 1" }),
    );
    await writeFile(path, `secret-another=${lcutOf(1)}\n`);
    relay.relay.signal("SIGHUP");
    await eventually(async () => expect((await relay.served(KEY)).color).toBe("color 3"));
  }, 60_000);

  test("survives a restart with a backup, also after a roll back by the option", async () => {
    await using upstream = await startUpstream();
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "sfp-pin-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "pins");
    await writeFile(path, `secret-another=${lcutOf(1)}`);
    const args = ["--pin", `@${path}`, "--local-cache-path", join(folder, "cache")];
    const options = { upstream, cache: "local", args } as const;
    publishGate(upstream, KEY, { number: 1, gateValue: true });
    {
      await using relay = await startOperatedRelay(options);
      expect((await relay.served(KEY)).color).toBe("color 1");
      publishGate(upstream, KEY, { number: 2, gateValue: true });
      await eventually(async () => expect((await relay.served(KEY)).color).toBe("color 2"));
      await writeFile(path, `${KEY}=${lcutOf(1)}`);
      relay.relay.signal("SIGHUP");
      await eventually(async () => expect((await relay.served(KEY)).color).toBe("color 1"));
      await relay.relay.kill();
    }
    await using relay = await startOperatedRelay(options);
    expect(await relay.served(KEY)).toEqual({ lcut: lcutOf(2) + 1, color: "color 1" });
    expect((await relay.status()).pins[0]).toMatchObject({ lcut: lcutOf(1), missing_feeds: 0 });
  }, 60_000);

  test("of a version that the relay does not have: the newest is served, and that is a problem", async () => {
    await using upstream = await startUpstream();
    publishGate(upstream, KEY, { number: 2, gateValue: true });
    await using relay = await startOperatedRelay({ upstream, args: ["--pin", `${KEY}=${lcutOf(1)}`] });
    expect((await relay.served(KEY)).color).toBe("color 2");
    publishGate(upstream, KEY, { number: 3, gateValue: true });
    await eventually(async () => expect((await relay.served(KEY)).color).toBe("color 3"));
    const { problems } = await relay.status();
    expect(problems.map(({ kind }) => kind)).toContain("pinned_version_missing");
  });

  test.each([
    ["secret-a", "--pin: entry 1 is not KEY=LCUT"],
    ["secret-a=12,secret-b=yesterday", "--pin: entry 2 is not KEY=LCUT"],
    ["=12", "--pin: entry 1 is not KEY=LCUT"],
    ["secret-a=1,secret-a=2", "--pin: it names an SDK key twice"],
    ["@/there/is/none", '--pin: cannot read "/there/is/none"'],
  ])("%s fails the start, without a key in the message", async (value, message) => {
    const { exitCode, stderr } = await runRelay(["http", "disabled", "--pin", value], {});
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/secret-[ab]/);
  });

  test("is printed with its keys masked", async () => {
    const { stdout } = await runRelay(["http", "disabled", "--pin", `${KEY}=12`, "--print-config"], {});
    expect(stdout).toMatch(/pin: secret-pin\*\w{6}=12/);
    expect(stdout).not.toContain(KEY);
  });
});

describeWith("redis-server")("a fleet whose relays have different --pin", () => {
  test("the relays do not publish in turns", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const options = { upstream, cache: "redis", env } as const;
    const args = ["-r", "1", "--fleet-polling"];
    publishGate(upstream, KEY, { number: 1, gateValue: true });
    const pin = ["--pin", `${KEY}=${lcutOf(1)}`];
    await using pinned = await startOperatedRelay({ ...options, args: [...args, ...pin] });
    await using other = await startOperatedRelay({ ...options, args });
    for (const relay of [pinned, other]) expect((await relay.served(KEY)).color).toBe("color 1");
    publishGate(upstream, KEY, { number: 2, gateValue: true });
    await eventually(async () => expect((await other.served(KEY)).color).toBe("color 2"), {
      withinMs: 20_000,
    });
    const polled = upstream.requests.length;
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(polled + 5), {
      withinMs: 20_000,
    });
    // Each relay has published above the other once at most.
    expect((await pinned.served(KEY)).color).toBe("color 1");
    const { lcut, color } = await other.served(KEY);
    expect(color).toBe("color 2");
    expect(lcut).toBeLessThanOrEqual(lcutOf(2) + 2);
  }, 60_000);
});
