import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { EventStream } from "../support/clients/event-stream.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import {
  LoadBalancer,
  type LoadBalancerKind,
  RELAY_NAME,
  type Transport,
} from "../support/clients/load-balancers.ts";
import { describeWith } from "../support/common/needs.ts";
import { Authority } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { specPath } from "../support/relay/tls-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const CALLS = 200;
const CONNECTIONS = 4;
const LIMIT_MS = 60_000;

interface Case {
  readonly kind: LoadBalancerKind;
  readonly transport: Transport;
}

const CASES: readonly Case[] = [
  { kind: "nginx", transport: "plaintext" },
  { kind: "nginx", transport: "TLS" },
  { kind: "haproxy", transport: "plaintext" },
  { kind: "haproxy", transport: "TLS" },
];

/** Makes all calls, a few at a time. Returns the number of each outcome. */
async function outcomes<T>(workers: readonly T[], call: (worker: T) => Promise<string>) {
  const seen: Record<string, number> = {};
  let left = CALLS;
  const work = async (worker: T) => {
    while (left-- > 0) {
      const outcome = await call(worker).catch((error: unknown) => String(error));
      seen[outcome] = (seen[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(workers.map(work));
  return seen;
}

describeWith(
  "nginx",
  "haproxy",
  "openssl",
)("behind a load balancer set up as documented", () => {
  const resources = new AsyncDisposableStack();
  let authority: Authority;
  let relay: RelayProcess;
  let upstream: Upstream;
  let held: PublishedKey;
  let version = 0;
  beforeAll(async () => {
    upstream = resources.use(await startUpstream());
    held = publishKey(upstream, "secret-behind-proxy");
    authority = resources.use(new Authority());
    const server = authority.issue({ commonName: RELAY_NAME, altNames: `DNS:${RELAY_NAME}` });
    const args = ["--enforce-tls", "false"];
    const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    relay = resources.use(await startRelayWithTls({ upstream, server, args, env }));
  });
  afterAll(() => resources.disposeAsync());

  describe.each(CASES)("$kind, $transport", ({ kind, transport }) => {
    const [http, grpc] = transport === "TLS" ? (["https", "grpcs"] as const) : (["http", "grpc"] as const);
    let balancer: LoadBalancer;
    let clients: readonly GrpcClient[];
    let ca: Buffer;
    beforeAll(async () => {
      ca = readFileSync(authority.caPath);
      balancer = await LoadBalancer.start({
        kind,
        transport,
        authority,
        relayPort: (protocol) => Number(new URL(relay.urlOf(protocol)).port),
      });
      clients = Array.from(
        { length: CONNECTIONS },
        () =>
          new GrpcClient(
            balancer.urlOf(grpc),
            transport === "TLS" ? credentials.createSsl(ca) : credentials.createInsecure(),
          ),
      );
    });
    afterAll(async () => {
      for (const client of clients) client[Symbol.dispose]();
      await balancer[Symbol.asyncDispose]();
    });

    const ask = (path: string, init: RequestInit = {}) =>
      fetch(`${balancer.urlOf(http)}${path}`, {
        ...init,
        ...(transport === "TLS" && { tls: { ca } }),
        signal: AbortSignal.timeout(10_000),
      });

    test(
      "each getConfigSpec gets a response",
      async () => {
        const call = async (client: GrpcClient) => {
          const { message } = await client.getConfigSpec({ sdkKey: held.sdkKey, version: 2 });
          return message.spec === held.v2 ? "the spec" : "another spec";
        };
        expect(await outcomes(clients, call)).toEqual({ "the spec": CALLS });
      },
      LIMIT_MS,
    );

    test(
      "each StreamConfigSpec gets its first message",
      async () => {
        const call = async (client: GrpcClient) => {
          using stream = client.streamConfigSpec({ sdkKey: held.sdkKey, version: 2 });
          const { spec } = await stream.next();
          return spec === held.v2 ? "the spec" : "another spec";
        };
        expect(await outcomes(clients, call)).toEqual({ "the spec": CALLS });
      },
      LIMIT_MS,
    );

    test(
      "each health check returns SERVING",
      async () => {
        expect(await outcomes(clients, (client) => client.checkHealth())).toEqual({ SERVING: CALLS });
      },
      LIMIT_MS,
    );

    test(
      "each GET over HTTP gets the spec",
      async () => {
        const call = async () => {
          const answer = await ask(specPath(held.sdkKey));
          return `${answer.status} ${(await answer.text()) === held.v2 ? "the spec" : "another body"}`;
        };
        expect(await outcomes(clients, call)).toEqual({ "200 the spec": CALLS });
      },
      LIMIT_MS,
    );

    test("a POST without a body gets a response", async () => {
      const headers = { "statsig-api-key": held.sdkKey };
      const answer = await ask("/v1/get_id_lists", { method: "POST", headers });
      expect(answer.status).toBe(200);
    });

    test("an update reaches an open stream", async () => {
      const [client] = clients;
      using stream = client?.streamConfigSpec({ sdkKey: held.sdkKey, version: 2 });
      expect((await stream?.next())?.lastUpdated).toBe(held.lcut);
      held = publishKey(upstream, held.sdkKey, ++version);
      expect((await stream?.next())?.lastUpdated).toBe(held.lcut);
    });

    test.each(["identity", "gzip"])("an update reaches an open event stream, with %s", async (coding) => {
      const headers = { "accept-encoding": coding };
      const url = `${balancer.urlOf(http)}/v2/stream_config_specs/${held.sdkKey}`;
      using stream = await EventStream.open(url, { headers });
      expect((await stream.next()).data).toBe(held.v2);
      held = publishKey(upstream, held.sdkKey, ++version);
      expect((await stream.next()).data).toBe(held.v2);
    });

    test("the load balancer logs no error", () => {
      const complaints = balancer.output.split("\n").filter((line) => /invalid|error|DOWN/i.test(line));
      expect(complaints.slice(0, 3)).toEqual([]);
    });
  });
});
