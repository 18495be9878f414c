import { expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { status } from "../support/upstream/upstream.ts";

const OUTAGES = [
  ["upstream failing, serving last known config", "upstream recovered"],
  ["log events not forwarded, retrying", "log events forwarded again"],
] as const;

test("an upstream outage logs one line for specs and one for log events, and one each when it ends", async () => {
  await using running = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "50"] });
  const { upstream, relay } = running;
  const { sdkKey } = publishKey(upstream, "secret-outage-0123456789");
  await fetch(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
  const linesWith = (text: string) =>
    relay
      .output()
      .split("\n")
      .filter((line) => line.includes(text));
  await eventually(() => expect(linesWith("config specs loaded")).toHaveLength(1), { withinMs: 15_000 });
  const warnings = () => linesWith(" WARN ").filter((line) => !line.includes("--max-connections"));

  upstream.misbehave(status(500));
  upstream.forgetRequests();
  await running.post(sdkKey, { events: [{ eventName: "a" }] });
  const allFailed = () => {
    for (const path of [/download_config_specs/, /log_event/])
      expect(upstream.count(path)).toBeGreaterThanOrEqual(4);
  };
  await eventually(allFailed, { withinMs: 20_000 });
  expect(warnings()).toHaveLength(OUTAGES.length);
  for (const [begins] of OUTAGES) expect(linesWith(begins)).toHaveLength(1);

  upstream.behave();
  const allEnded = () => {
    for (const [, ends] of OUTAGES) expect(linesWith(ends)).toHaveLength(1);
  };
  await eventually(allEnded, { withinMs: 20_000 });
  for (const [, ends] of OUTAGES) {
    const [line = ""] = linesWith(ends);
    expect(line).toMatch(/ INFO .* for_s=\d+ failures=\d+$/);
    expect(Number(/failures=(\d+)/.exec(line)?.[1])).toBeGreaterThanOrEqual(4);
  }
  expect(warnings()).toHaveLength(OUTAGES.length);
  expect(relay.output()).not.toContain(sdkKey);
}, 60_000);
