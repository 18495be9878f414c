import { setTimeout as sleep } from "node:timers/promises";
import { CertificateFiles, serialIn, serialShown } from "../../tests/support/relay/certificate-files.ts";
import { Authority } from "../../tests/support/relay/pki.ts";
import type { Bench, Part, PartResult } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import type { Delivery } from "../fanout/delivery.ts";
import { freePort } from "../loopback.ts";
import { projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { quantile, spreadOf } from "../statistics.ts";
import { steadyLoad } from "../steady-load.ts";
import { ms, spread } from "../table.ts";

const SDK_KEY = "secret-bench-rotation";
const SPEC_BYTES = 20_000;
const STREAMS = 500;
const REQUESTS_PER_S = 200;
const DELIVERY_TIMEOUT_MS = 30_000;
const SEEN_LIMIT_MS = 30_000;
const PAUSE_MS = 2_000;

/** Replaces certificates under 500 streams and 200 requests/s. Fails if a stream ends. */
export const rotationPart: Part = { name: "rotation", needs: ["openssl"], run };

async function run(bench: Bench): Promise<PartResult> {
  const rotations = bench.quick ? 3 : 20;
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(SPEC_BYTES, FIRST_LCUT));
  using authority = new Authority();
  using files = new CertificateFiles();
  files.byRename(authority.issue(), authority.caPath);
  const [https, grpcs] = [await freePort(), await freePort()];
  const urls = [`https://127.0.0.1:${https}`, `https://127.0.0.1:${grpcs}`] as const;
  const args = [
    ...["--x509-server-cert-path", files.certPath, "--x509-server-key-path", files.keyPath],
    ...["--enforce-tls", "false", "--https-port", String(https), "--grpcs-port", String(grpcs)],
  ];
  const options = { upstream, cores: bench.cores?.server, pollIntervalS: 1, args };
  await using _relay = await RelayServer.start(bench, options, specPath(SDK_KEY));
  const clientArgs = [urls[1], SDK_KEY, "100", String(STREAMS / 100)];
  await using client = new ClientProcess(bench, "fanout/stream-client.ts", clientArgs);
  await client.next<Delivery>(DELIVERY_TIMEOUT_MS);

  let isOn = true;
  const load = steadyLoad(
    bench,
    REQUESTS_PER_S,
    () => isOn,
    (asked) => ask(urls[0] + specPath(SDK_KEY), asked % 2 === 0),
  );
  const seenMs: number[] = [];
  for (let rotation = 1; rotation <= rotations; rotation++) {
    bench.progress(`rotation: ${rotation} of ${rotations}`);
    const next = authority.issue();
    files.byRename(next, authority.caPath);
    const renewedAt = performance.now();
    await Promise.all(urls.map((url) => untilShown(bench, url, serialIn(next))));
    seenMs.push(performance.now() - renewedAt);
    upstream.publish(SDK_KEY, projectOfJsonBytes(SPEC_BYTES, FIRST_LCUT + rotation));
    const { lcut } = await client.next<Delivery>(DELIVERY_TIMEOUT_MS);
    if (lcut !== FIRST_LCUT + rotation) throw new Error("a stream missed a version");
    await sleep(PAUSE_MS, undefined, { signal: bench.signal });
  }
  isOn = false;
  const { latenciesMs, failures } = await load;
  return resultOf(rotations, seenMs, latenciesMs, failures);
}

function resultOf(
  rotations: number,
  seenMs: readonly number[],
  latenciesMs: readonly number[],
  failures: readonly string[],
): PartResult {
  const rows = [
    ["from the new files to their certificate on both ports, ms", spread(spreadOf(seenMs), ms)],
    ["requests", String(latenciesMs.length + failures.length)],
    ["requests that failed", String(failures.length)],
    ["p50 of requests, ms", ms(quantile(latenciesMs, 0.5))],
    ["p99 of requests, ms", ms(quantile(latenciesMs, 0.99))],
    ["streams that ended", "0"],
  ];
  const title = `rotation: ${rotations} new certificates, ${STREAMS} streams on 100 connections, ${REQUESTS_PER_S} requests/s`;
  return {
    tables: [{ title, head: ["what", "value"], rows }],
    notes: [
      "every other request uses a new connection; each stream received a new version after each rotation",
    ],
    raw: { seenMs, latenciesMs, failures },
  };
}

async function untilShown(bench: Bench, url: string, serial: string): Promise<void> {
  const giveUpAt = performance.now() + SEEN_LIMIT_MS;
  while ((await serialShown(url)) !== serial) {
    if (performance.now() > giveUpAt) throw new Error(`the new certificate was not seen on ${url}`);
    await sleep(50, undefined, { signal: bench.signal });
  }
}

async function ask(url: string, keepalive: boolean): Promise<void> {
  const response = await fetch(url, { keepalive, tls: { rejectUnauthorized: false } });
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`status ${response.status}`);
}
