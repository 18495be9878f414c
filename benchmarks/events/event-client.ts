// Sends batches of log events to a relay over a few connections.
//   bun event-client.ts <url> <"custom" | "exposures" | "repeats"> <duration, ms>
import { gzipSync } from "node:zlib";
import type { Sending } from "./sending.ts";

const [url = "", kind = "custom", durationMs = "0"] = process.argv.slice(2);
const EVENTS = 1_000;
const CONNECTIONS = 8;
/** Bodies are prepared in advance, so that only the relay is measured. */
const PREPARED = 64;

const bodies = Array.from({ length: PREPARED }, (_, at) => prepare(at));
const endAt = performance.now() + Number(durationMs);
const sending = {
  batches: 0,
  events: 0,
  refused: 0,
  bodyBytes: bodies[0]?.length ?? 0,
  plainBytes: plain(0).length,
};

await Promise.all(Array.from({ length: CONNECTIONS }, (_, name) => run(name)));
process.stdout.write(`${JSON.stringify(sending satisfies Sending)}\n`);

async function run(name: number): Promise<void> {
  for (let at = name; performance.now() < endAt; at += CONNECTIONS) {
    const response = await fetch(`${url}/v1/log_event`, {
      method: "POST",
      body: bodies[at % PREPARED] ?? "",
      headers: {
        "statsig-api-key": `secret-bench-events-${name}${round(at)}`,
        "content-encoding": "gzip",
        "statsig-sdk-type": "bench",
      },
    });
    await response.arrayBuffer();
    if (response.status === 202) {
      sending.batches++;
      sending.events += EVENTS;
    } else sending.refused++;
  }
}

/** Returns another key suffix each time that the prepared bodies are sent again, so that no exposure is a duplicate. */
function round(at: number): string {
  return kind === "exposures" ? `-${Math.floor(at / PREPARED)}` : "";
}

function prepare(batch: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gzipSync(plain(batch), { level: 6 }));
}

/** About 350 bytes per event, in the format of SDKs. */
function plain(batch: number): string {
  const events = Array.from({ length: EVENTS }, (_, at) => ({
    eventName: kind === "custom" ? "checkout_completed" : "statsig::gate_exposure",
    user: {
      userID: `user-${kind === "repeats" ? at : batch * EVENTS + at}`,
      customIDs: { companyID: `company-${at % 50}` },
      custom: { plan: "team", region: "eu-west-1" },
      statsigEnvironment: { tier: "production" },
    },
    time: 1_760_000_000_000 + at,
    value: null,
    metadata: {
      gate: `gate_${at % 20}`,
      gateValue: "true",
      ruleID: "3Qm6xYz1",
      reason: "Network:Recognized",
    },
    secondaryExposures: [],
    statsigMetadata: null,
  }));
  const statsigMetadata = { sdkType: "bench", sdkVersion: "1.0.0", sessionID: `session-${batch % 8}` };
  return JSON.stringify({ events, statsigMetadata });
}
