import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { broadcast, type CpuReply, type Member } from "../../src/platform/profiling/orders.ts";
import { within } from "../support/common/wait.ts";
import { JoinedThread } from "../support/profiling/joined-thread.ts";

const EVERY_MS = { intervalUs: 10_000 };

/** A thread that has joined, and what it replies. */
interface Joined extends AsyncDisposable {
  readonly thread: JoinedThread;
  readonly replyTo: string;
  /** Resolves with the next reply. */
  next(): Promise<Member | CpuReply>;
  /** Replies that were not taken by `next`. */
  readonly rest: readonly (Member | CpuReply)[];
}

async function startJoined(): Promise<Joined> {
  const thread = await JoinedThread.start();
  const replyTo = `orders-${crypto.randomUUID()}`;
  const channel = new BroadcastChannel(replyTo);
  const rest: (Member | CpuReply)[] = [];
  let wake = Promise.withResolvers<void>();
  channel.onmessage = ({ data }: { readonly data: Member | CpuReply }) => {
    rest.push(data);
    wake.resolve();
  };
  const next = async () => {
    for (let reply = rest.shift(); ; reply = rest.shift()) {
      if (reply !== undefined) return reply;
      await within(wake.promise, 20_000, "a reply");
      wake = Promise.withResolvers();
    }
  };
  const dispose = async () => {
    channel.close();
    await thread[Symbol.asyncDispose]();
  };
  return { thread, replyTo, next, rest, [Symbol.asyncDispose]: dispose };
}

let joined: Joined;
beforeEach(async () => {
  joined = await startJoined();
});
afterEach(() => joined[Symbol.asyncDispose]());

/** Resolves once the thread has followed all orders before. */
async function followed(): Promise<void> {
  broadcast({ kind: "roll_call", replyTo: joined.replyTo });
  expect(await joined.next()).not.toHaveProperty("profile");
}

/** Whether the thread takes samples: then it has a profile to return. */
async function isSampling(): Promise<boolean> {
  broadcast({ kind: "stop_cpu", replyTo: joined.replyTo });
  broadcast({ kind: "roll_call", replyTo: joined.replyTo });
  const hasProfile = "profile" in (await joined.next());
  if (hasProfile) await joined.next();
  return hasProfile;
}

describe("orders that come at once", () => {
  test.each(["first", "later"])("are followed one after the other: the %s ones", async (which) => {
    if (which === "later") await followed();
    broadcast({ kind: "start_cpu", ...EVERY_MS });
    broadcast({ kind: "start_cpu", ...EVERY_MS });
    broadcast({ kind: "stop_cpu", replyTo: joined.replyTo });
    broadcast({ kind: "roll_call", replyTo: joined.replyTo });
    expect(await joined.next()).toHaveProperty("profile");
    expect(await joined.next()).not.toHaveProperty("profile");
    expect(joined.rest).toEqual([]);
  });

  test.each(["first", "later"])(
    "leave no thread sampling if the profile is cancelled: the %s ones",
    async (which) => {
      if (which === "later") await followed();
      broadcast({ kind: "start_cpu", ...EVERY_MS });
      broadcast({ kind: "start_cpu", ...EVERY_MS });
      broadcast({ kind: "stop_cpu" });
      // Without a queue, the start would be followed after the stop.
      await Bun.sleep(200);
      expect(await isSampling()).toBe(false);
    },
  );

  test("leave no thread sampling whose event loop did not run meanwhile", async () => {
    await joined.thread.standStill("now");
    broadcast({ kind: "roll_call", replyTo: joined.replyTo });
    broadcast({ kind: "start_cpu", ...EVERY_MS });
    broadcast({ kind: "stop_cpu" });
    joined.thread.release();
    await joined.next();
    expect(await isSampling()).toBe(false);
  });
});
