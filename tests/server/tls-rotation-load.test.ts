import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { SpecStream } from "../support/clients/grpc-stream.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const CONNECTIONS = 20;
const STREAMS_EACH = 5;
/** A steady rate, as long as the machine is fast enough for it. */
const REQUESTS_PER_S = 100;
const MAX_IN_FLIGHT = 20;
const sdkKey = "secret-tls-load";

/** Sends requests at a steady rate until it is stopped, every other one over a connection of its own. */
class Requests {
  readonly #url: string;
  readonly #ca: string;
  readonly #asked: Promise<void>[] = [];
  readonly failures: string[] = [];
  #isStopped = false;
  #inFlight = 0;
  readonly #running: Promise<void>;

  constructor(url: string, ca: string) {
    this.#url = url;
    this.#ca = ca;
    this.#running = this.#run();
  }

  /** The requests sent so far. */
  get count(): number {
    return this.#asked.length;
  }

  /** Resolves once all are complete. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    await Promise.all(this.#asked);
  }

  async #run(): Promise<void> {
    const startedAt = performance.now();
    while (!this.#isStopped) {
      if (this.#inFlight === MAX_IN_FLIGHT) {
        await sleep(1);
        continue;
      }
      this.#inFlight++;
      this.#asked.push(
        this.#ask(this.#asked.length % 2 === 0)
          .catch((error) => void this.failures.push(String(error)))
          .finally(() => this.#inFlight--),
      );
      const dueAt = startedAt + (this.#asked.length * 1_000) / REQUESTS_PER_S;
      await sleep(Math.max(0, dueAt - performance.now()));
    }
  }

  async #ask(keepalive: boolean): Promise<void> {
    const signal = AbortSignal.timeout(15_000);
    const response = await fetch(this.#url, { keepalive, tls: { ca: this.#ca }, signal });
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`status ${response.status}`);
  }
}

describeWith("openssl")("certificates that change under load", () => {
  const owned = new AsyncDisposableStack();
  const streams: SpecStream[] = [];
  let authority: Authority;
  let files: CertificateFiles;
  let upstream: Upstream;
  let relay: RelayProcess;
  let certificates: Certified[];

  beforeAll(async () => {
    authority = owned.use(new Authority());
    certificates = [0, 1, 2, 3, 4, 5].map(() => authority.issue());
    files = owned.use(new CertificateFiles());
    install(0);
    upstream = owned.use(await startUpstream());
    publishKey(upstream, sdkKey);
    relay = owned.use(await startRelayWithTls({ upstream, server: files }));
    for (let at = 0; at < CONNECTIONS; at++) {
      const client = owned.use(tlsGrpcClient(relay.urlOf("grpcs"), authority.caPath));
      for (let each = 0; each < STREAMS_EACH; each++)
        streams.push(owned.use(client.streamConfigSpec({ sdkKey, version: 2 })));
    }
    for (const stream of streams) await stream.next();
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  const install = (number: number): void => {
    const next = certificates[number];
    if (next === undefined) throw new Error(`no certificate ${number}`);
    files.bySymlink(next, authority.caPath);
  };
  const expectShown = (number: number): Promise<void> =>
    eventually(
      async () => {
        for (const protocol of ["https", "grpcs"])
          expect(await serialShown(relay.urlOf(protocol))).toBe(serialIn(certificates[number] ?? files));
      },
      { withinMs: 20_000, everyMs: 100 },
    );

  test("five times: no request fails, no stream ends, and each stream gets every version", async () => {
    const url = `${relay.urlOf("https")}/v2/download_config_specs/${sdkKey}.json`;
    const requests = new Requests(url, readFileSync(authority.caPath, "utf8"));
    for (const number of [1, 2, 3, 4, 5]) {
      const before = requests.count;
      install(number);
      await expectShown(number);
      const { lcut } = publishKey(upstream, sdkKey, number);
      for (const stream of streams) expect((await stream.next()).lastUpdated).toBe(lcut);
      expect(requests.count - before).toBeGreaterThan(MAX_IN_FLIGHT);
    }
    await requests.stop();
    expect(requests.failures).toEqual([]);
    expect(relay.output().split("certificate replaced").length - 1).toBe(5);
  }, 120_000);
});
