import { afterEach, describe, expect, test } from "bun:test";
import { describeError } from "../../src/platform/errors.ts";
import {
  answerCall,
  type Call,
  type CallOutcome,
  ThreadCalls,
  ThreadChannel,
  ThreadUnreachable,
} from "../../src/platform/thread-channel.ts";

interface Service {
  double(number: number): Promise<number>;
  measure(body: Uint8Array<ArrayBuffer>): Promise<number>;
  fail(message: string): Promise<void>;
  hang(): Promise<void>;
}

const service: Service = {
  double: async (number) => 2 * number,
  measure: async (body) => body.length,
  fail: async (message) => {
    throw new RangeError(message);
  },
  hang: () => new Promise(() => {}),
};

let ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports) port.close();
  ports = [];
});

/** Returns the calls of one side to the service of the other one, and counts the messages that are posted. */
function connect(limitMs?: number) {
  const { port1, port2 } = new MessageChannel();
  ports = [port1, port2];
  for (const port of ports) port.start();
  const posted = { calls: 0, outcomes: 0 };
  const counting = (port: MessagePort, name: keyof typeof posted) => ({
    postMessage(message: unknown, moved: ArrayBuffer[]) {
      posted[name]++;
      port.postMessage(message, moved);
    },
    addEventListener: (type: "message", listener: (event: MessageEvent) => void) =>
      port.addEventListener(type, listener as EventListener),
  });
  const near = new ThreadChannel<Call<Service>, CallOutcome>(counting(port1, "calls"), (outcome) =>
    calls.settle(outcome),
  );
  const far = new ThreadChannel<CallOutcome, Call<Service>>(counting(port2, "outcomes"), (call) => {
    void answerCall(service, call).then((outcome) => far.send(outcome));
  });
  const calls = new ThreadCalls<Service>((call, moved) => near.send(call, moved), limitMs);
  return { calls, posted };
}

test("an error while a message is received is an uncaught exception, and the messages after it arrive", async () => {
  const script = `
    const { ThreadChannel } = await import(${JSON.stringify(import.meta.resolve("../../src/platform/thread-channel.ts"))});
    const { port1, port2 } = new MessageChannel();
    for (const port of [port1, port2]) port.start();
    process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
    new ThreadChannel(port2, (message) => {
      if (message === 1) throw new Error("no");
      console.log("received", message);
      if (message === 3) setTimeout(() => process.exit(0), 50);
    });
    const near = new ThreadChannel(port1, () => {});
    for (const message of [1, 2, 3]) near.send(message);
  `;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(stdout.toString()).toBe("received 2\nreceived 3\nuncaught no\n");
});

describe("a call of a method of another thread", () => {
  test("resolves with its own result, and the calls of one turn cross as one message", async () => {
    const { calls, posted } = connect();
    const numbers = Array.from({ length: 100 }, (_, at) => at);
    const results = await Promise.all(numbers.map((number) => calls.call("double", number)));
    expect(results).toEqual(numbers.map((number) => 2 * number));
    expect(posted.calls).toBe(1);
  });

  test("moves a body instead of copying it", async () => {
    const { calls } = connect();
    const body = new Uint8Array(1_000);
    expect(await calls.call("measure", body, [body.buffer])).toBe(1_000);
    expect(body.length).toBe(0);
  });

  test("rejects with the method's error, so that reports say where it was thrown", async () => {
    const { calls } = connect();
    const error = await calls.call("fail", "too far").catch((thrown: unknown) => thrown);
    const at = expect.stringContaining("platform/thread-channel.test.ts");
    expect(describeError(error)).toEqual({ detail: "RangeError: too far", at });
    expect(error).not.toBeInstanceOf(ThreadUnreachable);
  });

  test("rejects with a ThreadUnreachable after the time limit, and other calls go on", async () => {
    const { calls } = connect(1_000);
    const hanging = calls.call("hang", undefined).catch((thrown: unknown) => thrown);
    expect(await calls.call("double", 21)).toBe(42);
    const error = await hanging;
    expect(error).toBeInstanceOf(ThreadUnreachable);
    expect(error).toHaveProperty("message", "no reply to hang within 1000 ms");
    // A late outcome, and one of no call.
    for (const id of [1, 99]) calls.settle({ kind: "returned", id, result: 1 });
    expect(await calls.call("double", 4)).toBe(8);
  });
});
