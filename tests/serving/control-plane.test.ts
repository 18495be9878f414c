import { expect, test } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { ThreadCalls } from "../../src/platform/thread-channel.ts";
import { connectControlPlane } from "../../src/serving/control-plane.ts";
import type { ControlCalls } from "../../src/serving/messages.ts";

test("log events of a key that the thread holds are accepted with one call, those of other keys with two", async () => {
  const methods: string[] = [];
  const calls: ThreadCalls<ControlCalls> = new ThreadCalls<ControlCalls>(({ id, method }) => {
    methods.push(method);
    const result = method === "acceptEvents" ? { kind: "accepted" } : undefined;
    queueMicrotask(() => calls.settle({ kind: "returned", id, result }));
  });
  const logEvents = { maxBodyBytes: 1_000, relayId: "relay" };
  const { events } = connectControlPlane(calls, { logEvents }, (sdkKey) => sdkKey === "secret-held");
  const send = async (key: string) => {
    const sdkKey = key as SdkKey;
    if ((await events.refusal(sdkKey)) !== undefined) return undefined;
    return events.accept({ sdkKey, headers: {}, contentEncoding: "", body: new Uint8Array(3) });
  };
  expect(await send("secret-held")).toEqual({ kind: "accepted" });
  expect(methods).toEqual(["acceptEvents"]);
  expect(await send("secret-other")).toEqual({ kind: "accepted" });
  expect(methods).toEqual(["acceptEvents", "eventRefusal", "acceptEvents"]);
});
