import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, Socket } from "node:net";
import { freePort } from "../support/common/free-port.ts";
import { eventually, within } from "../support/common/wait.ts";
import { totalOf } from "../support/profiling/decoded-profile.ts";
import { type ProfiledRelay, startProfiledRelay } from "../support/profiling/profiled-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const PATIENT = { withinMs: 20_000 };

const messageOf = async (response: Response) => ((await response.json()) as { message: string }).message;

/**
 * Sends a request for a long profile, and resolves once it is taken, so that another request gets 409. If such a request overtakes it, it is
 * sent again.
 */
async function begin(
  order: () => Promise<{ readonly status: number }>,
  { order: other }: ProfiledRelay,
): Promise<void> {
  for (;;) {
    let isRefused = false;
    order().then(
      ({ status }) => {
        isRefused = status === 409;
      },
      () => {},
    );
    // It has a head start, which is too short on a busy machine at times.
    await Bun.sleep(300);
    while (!isRefused) {
      const response = await other("heap");
      await response.arrayBuffer();
      if (response.status === 409 && !isRefused) return;
    }
  }
}

/** Begins a profile of a minute, and returns its response. */
async function beginLong(profiled: ProfiledRelay, init: RequestInit = {}) {
  let response = Promise.resolve<Response | "cut">("cut");
  const order = () => {
    const ordered = profiled.order("profile?seconds=60", init);
    response = ordered.catch(() => "cut");
    return ordered;
  };
  await begin(order, profiled);
  return { response };
}

/** Resolves once another profile can be taken. */
const free = (profiled: ProfiledRelay) =>
  eventually(async () => {
    const response = await profiled.order("profile?seconds=1");
    await response.arrayBuffer();
    expect(response.status).toBe(200);
  }, PATIENT);

describe("a request for a profile", () => {
  test("is refused with the name of the option while it is off", async () => {
    await using managed = await startManagedRelay();
    for (const path of ["/debug/profile", "/debug/heap"]) {
      for (const method of ["POST", "GET"]) {
        const response = await fetch(managed.url + path, { method });
        expect(response.status).toBe(404);
        expect(await messageOf(response)).toContain("--debug-endpoints");
      }
    }
  });

  test("has no port without the management port, which the log says", async () => {
    await using relay = await startRelayProcess({ args: ["--debug-endpoints"] });
    const line = 'setting has no effect setting=--debug-endpoints reason="--management-port is 0"';
    await eventually(() => expect(relay.output()).toContain(line));
  });

  test("with a wrong value, field or method is refused with what is expected", async () => {
    await using profiled = await startProfiledRelay();
    for (const [path, expected] of [
      ["profile?seconds=0", "from 1 to 60"],
      ["profile?seconds=61", "from 1 to 60"],
      ["profile?seconds=1.5", "from 1 to 60"],
      ["profile?seconds=", "from 1 to 60"],
      ["profile?seconds=1&seconds=2", "seconds is given more than once"],
      ["profile?format=svg", "pprof or devtools"],
      ["profile?second=5", "expected seconds or format"],
      ["heap?seconds=5", "expected format"],
    ] as const) {
      const response = await profiled.order(path);
      expect([path, response.status]).toEqual([path, 400]);
      expect(await messageOf(response)).toContain(expected);
    }
    for (const path of ["profile", "heap"]) {
      const response = await profiled.order(path, { method: "GET" });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
      expect(await messageOf(response)).toContain("curl -X POST");
    }
    expect(profiled.relay.output()).not.toContain("profile taken");
  });

  test("of a page in a browser is refused, also of one without an origin", async () => {
    await using profiled = await startProfiledRelay();
    for (const origin of ["https://example.com", profiled.managed.url, "null"]) {
      for (const path of ["profile?seconds=1", "heap"]) {
        const response = await profiled.order(path, { headers: { origin } });
        expect([path, origin, response.status]).toEqual([path, origin, 403]);
        expect(await messageOf(response)).toContain("curl");
      }
    }
    expect(profiled.relay.output()).not.toContain("profile taken");
  });

  test("gets 409 and the time to wait while another profile is taken, and is logged if it is taken", async () => {
    await using profiled = await startProfiledRelay();
    const client = new AbortController();
    await beginLong(profiled, { signal: client.signal });
    const second = await profiled.order("profile?seconds=1");
    expect(second.status).toBe(409);
    expect(Number(second.headers.get("retry-after"))).toBeWithin(30, 62);
    client.abort();
    await free(profiled);
    const lines = () => profiled.relay.output().split("\n");
    // The log may be read a little later than the response.
    await eventually(() =>
      expect(lines().filter((line) => line.includes("profile=cpu"))).toEqual([
        expect.stringMatching(
          / INFO +profile taken profile=cpu client=127\.0\.0\.1 duration_ms=\d+ threads=\d+ bytes=\d+/,
        ),
      ]),
    );
  });

  test("whose client goes ends the profile", async () => {
    await using profiled = await startProfiledRelay();
    const client = new AbortController();
    const long = await beginLong(profiled, { signal: client.signal });
    client.abort();
    expect(await long.response).toBe("cut");
    await free(profiled);
    expect(profiled.relay.output()).not.toContain("unexpected");
  });

  // As curl does when it is interrupted: it only closes its half of the connection, which the kernel does for it.
  test("whose client sends no more ends the profile", async () => {
    await using profiled = await startProfiledRelay();
    for (const path of ["profile?seconds=60", "profile/?seconds=60"]) {
      let client = new Socket();
      await begin(async () => {
        client = connect({ port: Number(new URL(profiled.managed.url).port), host: "127.0.0.1" });
        client.on("error", () => {});
        await once(client, "connect");
        client.write(`POST /debug/${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        const [first] = await once(client, "data");
        return { status: Number(String(first).split(" ")[1]) };
      }, profiled);
      client.destroy();
      await free(profiled);
    }
    expect(profiled.relay.output()).not.toContain("unexpected");
  });

  test("ends when the relay stops, before requests in flight are finished, and no other is taken", async () => {
    // Everything is served as before during the delay, and afterwards what is in flight is finished.
    await using profiled = await startProfiledRelay({
      args: ["--shutdown-delay-in-s", "600", "--shutdown-grace-in-s", "60"],
    });
    const { relay, upstream } = profiled;
    const slow = "secret-slow-0123456789";
    publishKey(upstream, slow);
    const gate = Promise.withResolvers<void>();
    upstream.misbehave({ kind: "none" }, { ...forKey(slow), until: gate.promise });
    const long = await beginLong(profiled);
    // It comes last, since a request that waits for upstream is answered 503 after some seconds.
    const inFlight = fetch(`${relay.httpUrl}/v2/download_config_specs/${slow}.json`);
    await eventually(() => expect(upstream.count(/secret-slow/)).toBe(1), PATIENT);
    relay.signal("SIGTERM");
    const stopped = await within(long.response, 20_000, "the response to the profile");
    if (stopped === "cut") throw new Error("the profile has no response");
    expect(stopped.status).toBe(503);
    expect(await messageOf(stopped)).toContain("shutting down");
    for (const path of ["profile?seconds=1", "heap"]) {
      expect((await profiled.order(path)).status).toBe(503);
    }
    // The second signal ends the delay.
    relay.signal("SIGTERM");
    gate.resolve();
    expect((await inFlight).status).toBe(200);
    expect(await within(relay.exited(), 20_000, "exit")).toBe(0);
    expect(relay.output()).not.toContain("unexpected");
    expect(relay.output()).not.toContain("profile taken");
  }, 60_000);

  test("does not delay a shutdown", async () => {
    // More than the end may take here.
    await using profiled = await startProfiledRelay({ args: ["--shutdown-grace-in-s", "60"] });
    await beginLong(profiled);
    profiled.relay.signal("SIGTERM");
    expect(await within(profiled.relay.exited(), 20_000, "exit")).toBe(0);
    expect(profiled.relay.output()).not.toContain("unexpected");
  });

  test("is accepted or refused as reloads of the configuration say", async () => {
    const env = { SFP_MANAGEMENT_PORT: String(await freePort()) };
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream, {}, [], env);
    const { relay } = reloaded;
    const status = async () =>
      (await fetch(`${relay.urlOf("management")}/debug/profile?seconds=1`, { method: "POST" })).status;
    expect(await status()).toBe(404);
    await reloaded.reload({ "debug-endpoints": true });
    expect(await status()).toBe(200);
    await reloaded.reload({});
    expect(await status()).toBe(404);
  });
});

/** The snapshots of one heap profile are larger. V8 keeps the memory of a snapshot for a while. */
const MAX_GROWTH_BYTES = isOnDeno ? 300_000_000 : 60_000_000;

/** Workers of one relay come and go with its work, and the runtime has helpers of its own. */
const MAX_EXTRA_THREADS = 4;

/** A sampler that is not at rest sleeps 200 times in two seconds, in each of seven threads. */
const MAX_EXTRA_SLEEPS = 500;

/** In two seconds: 5 % of one CPU. */
const MAX_EXTRA_CPU_MS = 100;

describe("profiles one after the other", () => {
  test("leave neither memory nor work behind", async () => {
    await using profiled = await startProfiledRelay();
    const { relay } = profiled;
    const takeBoth = async () => {
      expect(totalOf(await profiled.take("profile?seconds=1"), "value")).toBeGreaterThan(0);
      await profiled.take("heap");
    };
    const watchIdle = async () => {
      const before = [relay.cpuMs(), relay.timesAsleep()] as const;
      await Bun.sleep(2_000);
      return { cpuMs: relay.cpuMs() - before[0], timesAsleep: relay.timesAsleep() - before[1] };
    };
    const atRest = await watchIdle();
    const residentAfter: number[] = [];
    const takeTimes = async (times: number) => {
      for (let i = 0; i < times; i++) {
        await takeBoth();
        residentAfter.push(relay.rssBytes());
      }
    };
    await takeTimes(3);
    const [threads, files] = [relay.threads(), relay.openDescriptors()];
    await takeTimes(4);
    // Single values depend on when garbage is collected. What stays behind is in all of the last ones.
    const [early, late] = [Math.max(...residentAfter.slice(0, 3)), Math.min(...residentAfter.slice(-2))];
    expect(late - early).toBeLessThan(MAX_GROWTH_BYTES);
    // The Worker of the last heap profile ends a little later than its response.
    await eventually(() => {
      expect(relay.threads()).toBeLessThanOrEqual(threads + MAX_EXTRA_THREADS);
      expect(relay.openDescriptors()).toBeLessThanOrEqual(files);
    }, PATIENT);
    await eventually(async () => {
      const after = await watchIdle();
      expect(after.cpuMs).toBeLessThan(atRest.cpuMs + MAX_EXTRA_CPU_MS);
      expect(after.timesAsleep).toBeLessThan(atRest.timesAsleep + MAX_EXTRA_SLEEPS);
    }, PATIENT);
  }, 90_000);
});
