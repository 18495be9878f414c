import { describe, expect, test } from "bun:test";
import { DownloadQueue } from "../../src/id-lists/download-queue.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";

const key = "secret-many-lists";
const first = listed("acme");

const lists = (upstream: IdListUpstream, sdkKey: string, count: number) => {
  for (let at = 0; at < count; at++) upstream.put(sdkKey, `list-${at}`, first, { fileID: `${sdkKey}-${at}` });
};

test("1,500 lists that take 40 ms each are downloaded in parallel", async () => {
  await using upstream = new IdListUpstream();
  lists(upstream, key, 1_500);
  let open = 0;
  let most = 0;
  upstream.fault = async ({ path }) => {
    if (!path.startsWith("/files/")) return undefined;
    most = Math.max(most, ++open);
    await Bun.sleep(40);
    open--;
    return undefined;
  };
  const startedAt = performance.now();
  await using relay = await IdListRelay.start({
    upstream,
    values: { "proxy-id-lists": "true", "preload-sdk-keys": key },
  });
  const untilReady = { withinMs: 60_000, everyMs: 200 };
  await eventually(async () => expect(await relay.notReady()).toBe(""), untilReady);
  console.log(`1,500 lists came in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  expect(await relay.onDisk(key)).toHaveLength(1_500);
  // Three quarters of the default of --id-list-downloads.
  expect(most).toBe(24);
}, 90_000);

test("a key whose lists hang does not delay the lists of another", async () => {
  const values = { "proxy-id-lists": "true", "id-list-downloads": "4" };
  await using relay = await IdListRelay.start({ values });
  const { upstream } = relay;
  lists(upstream, "secret-hangs", 50);
  lists(upstream, "secret-works", 20);
  let hanging = 0;
  const never = new Promise<undefined>(() => {});
  upstream.fault = ({ path }) => {
    if (!path.startsWith("/files/secret-hangs")) return undefined;
    hanging++;
    return never;
  };
  expect(await relay.onDisk("secret-hangs")).toEqual([]);
  expect(await relay.onDisk("secret-works")).toHaveLength(20);
  expect(hanging).toBe(3);
});

describe("the download queue", () => {
  const steps = (queue: DownloadQueue<string>, began: string[]) => {
    const ends: (() => void)[] = [];
    const add = (name: string) =>
      queue.run(name.charAt(0), async () => {
        began.push(name);
        await new Promise<void>((resolve) => ends.push(resolve));
      });
    const endNext = async () => {
      ends.shift()?.();
      await Bun.sleep(0);
    };
    return { add, endNext };
  };

  test("lets keys take turns, however many downloads of one key wait", async () => {
    const began: string[] = [];
    const { add, endNext } = steps(new DownloadQueue(2, new FakeClock()), began);
    for (const name of ["a1", "a2", "a3", "a4", "b1", "c1", "b2"]) void add(name);
    for (let at = 0; at < 7; at++) await endNext();
    // One key gets one of two slots.
    expect(began).toEqual(["a1", "b1", "a2", "b2", "c1", "a3", "a4"]);
  });

  test("gives a single key three quarters of the slots, or the only one", async () => {
    for (const [places, most] of [
      [1, 1],
      [4, 3],
      [32, 24],
    ] as const) {
      const began: string[] = [];
      const { add } = steps(new DownloadQueue(places, systemClock), began);
      for (let at = 0; at < 40; at++) void add(`a${at}`);
      expect(began).toHaveLength(most);
    }
  });

  /** Adds downloads of a host that hangs. Each is given up after ten seconds. */
  function hang(queue: DownloadQueue<string>, clock: FakeClock, keys: number, began: string[]): void {
    const never = new AbortController().signal;
    for (let at = 0; at < keys; at++)
      for (let file = 0; file < 20; file++)
        void queue.run(`bad${at}`, async () => {
          began.push(`bad${at}`);
          await clock.sleep(10_000, never);
        });
  }

  test("finishes the downloads of a key that works before the hanging hosts of 70 others were given up three times", async () => {
    const clock = new FakeClock();
    const queue = new DownloadQueue<string>(32, clock);
    hang(queue, clock, 70, []);
    let done = 0;
    for (let file = 0; file < 20; file++)
      void queue.run("good", async (onProgress) => {
        onProgress();
        await clock.sleep(20, new AbortController().signal);
        done++;
      });
    for (let ms = 0; ms < 25_000; ms += 10) {
      await clock.advance(10);
      await Bun.sleep(0);
    }
    expect(done).toBe(20);
    // From now on, downloads that hang take no slots.
    const startedAt = clock.elapsed();
    const later = queue.run("good", () => Promise.resolve(clock.elapsed() - startedAt));
    expect(await later).toBe(0);
  });

  test("opens at most twice as many downloads as slots, and gives a key that recovers its slots back", async () => {
    const clock = new FakeClock();
    const queue = new DownloadQueue<string>(4, clock);
    const began: string[] = [];
    hang(queue, clock, 3, began);
    for (let at = 0; at < 5; at++) {
      await clock.advance(1_000);
      await Bun.sleep(0);
    }
    expect(began).toHaveLength(8);
    const suspected = new DownloadQueue<string>(4, clock);
    const silent = Promise.withResolvers<void>();
    let heard = () => {};
    void suspected.run("a", (onProgress) => {
      heard = onProgress;
      return silent.promise;
    });
    await clock.advance(1_000);
    await Bun.sleep(0);
    heard();
    for (let at = 0; at < 3; at++) void suspected.run("b", () => new Promise(() => {}));
    let isStarted = false;
    void suspected.run("c", async () => {
      isStarted = true;
    });
    // The download that was silent makes progress, and takes a slot again.
    expect(isStarted).toBe(false);
    silent.resolve();
    await eventually(() => expect(isStarted).toBe(true));
  });

  test("passes errors on, and continues after them", async () => {
    const queue = new DownloadQueue<string>(1, systemClock);
    const failed = queue.run("a", () => Promise.reject(new Error("no")));
    const done = queue.run("a", () => Promise.resolve("yes"));
    await expect(failed).rejects.toThrow("no");
    expect(await done).toBe("yes");
  });
});
