import { afterAll, beforeAll, expect } from "bun:test";
import { curl } from "../support/clients/curl.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import type { Certified } from "../support/relay/pki.ts";
import { type RelayProcess, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { curlTls, TlsSetup, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { IGNORED_ROWS, IGNORED_START, START_ROWS, type StartRow } from "./starts.rows.ts";

describeWith(
  "openssl",
  "redis-server",
  "curl",
)("starts of the original proxy", () => {
  const owned = new AsyncDisposableStack();
  const files = owned.use(new ConfigFiles());
  let setup: TlsSetup;
  let redis: RedisServer;
  let ignored: RelayProcess;

  beforeAll(async () => {
    setup = owned.use(await TlsSetup.start("secret-0123456789"));
    redis = owned.use(await RedisServer.start());
    ignored = owned.use(await startRelayProcess({ ...commandOf(IGNORED_START), isBare: true }));
  });
  afterAll(() => owned.disposeAsync());

  const fill = (text: string): string =>
    text
      .replace("{cert}", setup.server.certPath)
      .replace("{key}", setup.server.keyPath)
      .replace("{ca}", setup.caPath)
      .replace("{redis}", String(redis.port))
      .replace("{upstream}", setup.upstream.url);

  /** The ports are free ones, which the command lines of the original cannot set. */
  const commandOf = ({ argv, env = {} }: Pick<StartRow, "argv" | "env">) => {
    const given = Object.entries(env).map(([name, value]) => [name, fill(value)]);
    const ports = ["HTTP", "HTTPS", "GRPC", "GRPCS"].map((name) => [`SFP_${name}_PORT`, "0"]);
    const upstream = "statsig_endpoint" in env ? {} : { STATSIG_ENDPOINT: setup.upstream.url };
    return {
      args: argv.map(fill),
      env: {
        ...Object.fromEntries([...ports, ...given]),
        ...upstream,
        SFP_BIND_ADDRESS: "127.0.0.1",
        SFP_LOCAL_CACHE_PATH: files.folder,
      },
    };
  };

  testRows(START_ROWS, async (row) => {
    const { args, env } = commandOf(row);
    if ("refuses" in row) {
      const { exitCode, stderr } = await runRelay(args, env);
      expect(stderr).toContain(row.refuses);
      expect(exitCode).toBe(1);
      return;
    }
    await using relay = await startRelayProcess({ args, env, isBare: true });
    const open = [...relay.output().matchAll(/listening protocol=(\w+)/g)].map(
      ([, protocol = ""]) => protocol,
    );
    expect(open.sort()).toEqual([...row.ports].sort());
    // A certificate of the CA is accepted everywhere.
    for (const protocol of open) expect(await isServed(relay, protocol, setup.pki.good)).toBe(true);
    const secure = open.filter((protocol) => protocol.endsWith("s"));
    const expected = [
      [undefined, row.withoutCertificate],
      [setup.pki.wrongCa, row.withStrangeCertificate],
    ] as const;
    for (const [client, outcome] of expected) {
      if (outcome === undefined) continue;
      for (const protocol of secure) {
        expect([protocol, await isServed(relay, protocol, client)]).toEqual([protocol, outcome === "served"]);
      }
    }
    // The last lines of a start follow the ports.
    for (const line of row.logs ?? []) await eventually(() => expect(relay.output()).toContain(fill(line)));
    if (row.logsNot !== undefined) expect(relay.output()).not.toContain(row.logsNot);
  });

  /** Returns whether a client gets the published config spec. */
  const isServed = async (relay: RelayProcess, protocol: string, client?: Certified): Promise<boolean> => {
    try {
      const text = await specFrom(relay, protocol, client);
      return text === setup.published.v2;
    } catch {
      return false;
    }
  };

  const specFrom = async (relay: RelayProcess, protocol: string, client?: Certified): Promise<string> => {
    const url = relay.urlOf(protocol);
    if (protocol === "grpc") return setup.byGrpc(new GrpcClient(url));
    if (protocol === "grpcs") return setup.byGrpc(tlsGrpcClient(url, setup.caPath, client));
    const tls = protocol === "https" ? curlTls(setup.caPath, client) : [];
    const { body } = await curl(...tls, setup.specsUrl(relay, protocol));
    return Buffer.from(body).toString();
  };

  testRows(IGNORED_ROWS, async ({ setting }) => {
    await eventually(() =>
      expect(ignored.output()).toContain(`setting has no effect setting=${setting} reason=`),
    );
    expect(await isServed(ignored, "http")).toBe(true);
  });
});
