import { expect } from "bun:test";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { FUZZ_INPUTS, type FuzzInput, tlsRecords } from "../support/clients/fuzz-input.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { type Alpn, connectTo } from "../support/clients/raw-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { Random } from "../support/common/random.ts";
import { eventually } from "../support/common/wait.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { test } = testsWith("openssl");

/** Runs for an hour with `SFP_FUZZ_SECONDS=3600`. */
const SECONDS = Number(process.env["SFP_FUZZ_SECONDS"] ?? 30);
const SEED = Number(process.env["SFP_FUZZ_SEED"] ?? Date.now() % 1_000_000);
const AT_ONCE = 16;
const MAX_PEAK_BYTES = 300 * 1024 * 1024;
const MAX_GROWTH_BYTES = 120 * 1024 * 1024;
const SPARE_DESCRIPTORS = 10;
/** How long a client waits for responses before it disconnects. */
const MAX_WAIT_MS = 30;

interface Target {
  readonly name: string;
  readonly url: string;
  readonly alpn: Alpn;
  readonly input: FuzzInput;
}

/** Every kind of input on every port; TLS records under TLS as well. */
async function targetsOf({ relay }: TlsRelay): Promise<[Target, ...Target[]]> {
  const targets: Target[] = [];
  for (const protocol of ["http", "https", "grpc", "grpcs"]) {
    const url = relay.urlOf(protocol);
    for (const [name, input] of Object.entries(FUZZ_INPUTS)) {
      const alpn = name === "HTTP/1.1 requests" ? "http/1.1" : "h2";
      targets.push({ name: `${protocol} ${name}`, url, alpn, input });
    }
    if (!protocol.endsWith("s")) continue;
    const plain = url.replace("https:", "http:");
    targets.push({ name: `${protocol} TLS records`, url: plain, alpn: "h2", input: await tlsRecords() });
  }
  return targets as [Target, ...Target[]];
}

async function attack({ url, alpn, input }: Target, random: Random): Promise<void> {
  const bytes = input(random);
  const { socket, connected } = connectTo(url, alpn);
  socket.on("error", () => undefined).resume();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  try {
    await Promise.race([once(socket, connected), closed, sleep(2_000)]);
    if (socket.destroyed) return;
    // In two parts, so that no server may rely on complete requests.
    const at = random.below(bytes.length + 1);
    socket.write(bytes.subarray(0, at));
    if (random.oneIn(2)) await sleep(1);
    socket.write(bytes.subarray(at));
    if (random.oneIn(2)) socket.end();
    await Promise.race([closed, sleep(random.below(MAX_WAIT_MS))]);
  } catch {
    // The relay may cut the connection at once.
  } finally {
    socket.destroy();
  }
}

async function expectServes(started: TlsRelay): Promise<void> {
  expect(await started.statusOf("http")).toBe(200);
  expect(await started.statusOf("https")).toBe(200);
  using client = new GrpcClient(started.relay.grpcUrl);
  const { message } = await client.getConfigSpec({ sdkKey: started.held.sdkKey });
  expect(message.lastUpdated).toBe(started.held.lcut);
}

test(
  `${SECONDS} s of malformed requests on every port: no crash, no leak, and other clients are served`,
  async () => {
    await using started = await startTlsRelay();
    const { relay } = started;
    const targets = await targetsOf(started);
    const random = new Random(SEED);
    for (let time = 0; time < 300; time++) await attack(random.pick(targets), random);
    await sleep(200);
    const [rssBefore, descriptorsBefore] = [relay.rssBytes(), relay.openDescriptors()];
    let [highest, sent] = [rssBefore, 0];
    const endAt = performance.now() + SECONDS * 1_000;
    const client = async () => {
      while (performance.now() < endAt) {
        await attack(random.pick(targets), random);
        if (++sent % 200 !== 0) continue;
        highest = Math.max(highest, relay.rssBytes());
        expect(await started.statusOf("http")).toBe(200);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    console.log(`seed ${SEED}; ${sent} connections; memory ${mb(rssBefore)}, at most ${mb(highest)}`);
    expect(highest - rssBefore).toBeLessThan(MAX_PEAK_BYTES);
    await expectServes(started);
    await eventually(
      () => {
        expect(relay.openDescriptors()).toBeLessThanOrEqual(descriptorsBefore + SPARE_DESCRIPTORS);
        expect(relay.rssBytes() - rssBefore).toBeLessThan(MAX_GROWTH_BYTES);
      },
      { withinMs: 15_000, everyMs: 100 },
    );
    const stoppedAt = performance.now();
    expect(await relay.stop()).toBe(0);
    const stoppingMs = Math.round(performance.now() - stoppedAt);
    expect(relay.output().match(/^\s+at .+:\d+|panic|Segmentation|(Type|Range|Reference)Error/gm)).toBeNull();
    // Requests of disconnected clients that are still in flight would be waited for.
    expect(stoppingMs).toBeLessThan(8_000);
  },
  SECONDS * 1_000 + 60_000,
);
