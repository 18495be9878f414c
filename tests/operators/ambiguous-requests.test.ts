import { expect, test } from "bun:test";
import { OPERATOR_TOKEN, startOperatedRelay } from "../support/relay/operated-relay.ts";
import { publishGate } from "../support/upstream/gate-versions.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const SDK_KEY = "secret-named-twice";

test("a request that could mean two things changes nothing: a field twice, or fields in the query", async () => {
  await using upstream = await startUpstream();
  publishGate(upstream, SDK_KEY, { number: 1, gateValue: true });
  await using relay = await startOperatedRelay({ upstream });
  await relay.served(SDK_KEY);
  const post = async (path: string, body: string) => {
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    const response = await fetch(`${relay.url}${path}`, { method: "POST", headers, body });
    return [response.status, await response.text()] as const;
  };
  for (const [path, body, message] of [
    ["/v1/pin", `key=${SDK_KEY}&dry_run=true&dry_run=false`, "each field once"],
    ["/v1/pin", `key=secret-other&key=${SDK_KEY}`, "each field once"],
    ["/v1/pin?dry_run=true", `key=${SDK_KEY}`, "not in the query"],
    ["/v1/invalidate", `key=${SDK_KEY}&key=secret-other`, "The body is not valid"],
    // Without a body, all keys would be polled.
    [`/v1/invalidate?key=${SDK_KEY}`, "", "not in the query"],
  ] as const) {
    expect(await post(path, body)).toEqual([400, expect.stringContaining(message)]);
  }
  expect((await relay.order("/v1/pins")).body).toEqual({ pins: [] });
});
