import { afterAll, beforeAll, expect, test } from "bun:test";
import { renameSync } from "node:fs";
import { status as grpcStatus } from "@grpc/grpc-js";
import { stringify } from "yaml";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import { tlsArgs, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { startThreadsRelay, THREADS, type ThreadsRelay, threadOf } from "../support/serving/threads-relay.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";

const [KEPT, REMOVED] = ["secret-kept-0123456789", "secret-removed-0123456789"];
/** Enough for the attempts of one test. */
const NEW = Array.from({ length: 90 }, (_, at) => `secret-new-${at}-0123456789`);
const PATIENCE = { withinMs: 15_000 };
const specPath = (sdkKey: string) => `/v2/download_config_specs/${sdkKey}.json`;

describeWith("openssl")("a SIGHUP reaches every thread", () => {
  const owned = new AsyncDisposableStack();
  const files = owned.use(new ConfigFiles());
  const certificates = owned.use(new CertificateFiles());
  const settings: Record<string, unknown> = {
    "log-level": "info",
    "allowed-sdk-keys": [KEPT, REMOVED, ...NEW],
  };
  const path = files.write(stringify(settings));
  let authority: Authority;
  let current: Certified;
  let started: ThreadsRelay;
  beforeAll(async () => {
    authority = owned.use(new Authority());
    current = authority.issue();
    certificates.byRename(current, authority.caPath);
    const tls = [...tlsArgs(certificates), "--enforce-tls", "false"];
    started = owned.use(await startThreadsRelay({ args: ["--config", path, ...tls] }));
    for (const sdkKey of [KEPT, REMOVED]) publishKey(started.upstream, sdkKey);
  });
  afterAll(() => owned.disposeAsync());

  const linesWith = (text: string) =>
    started.relay
      .output()
      .split("\n")
      .filter((line) => line.includes(text));

  /** Changes settings in the configuration file, and waits until the relay has read it. */
  async function reload(changed: Readonly<Record<string, unknown>>): Promise<void> {
    Object.assign(settings, changed);
    renameSync(files.write(stringify(settings)), path);
    const before = linesWith("configuration reloaded").length;
    started.relay.signal("SIGHUP");
    await eventually(() => expect(linesWith("configuration reloaded")).toHaveLength(before + 1), PATIENCE);
  }

  test("with a new log level", async () => {
    const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
    const ask = async () => {
      for (const connection of http) expect((await connection.get(specPath(KEPT))).status).toBe(200);
      for (const client of grpc) await client.getConfigSpec({ sdkKey: KEPT });
    };
    const logged = () => [linesWith("http request"), linesWith("rpc answered")].map(({ length }) => length);
    await ask();
    await reload({ "log-level": "debug" });
    expect(logged()).toEqual([0, 0]);
    // The threads may learn it after the line about it.
    await eventually(async () => {
      const before = logged();
      await ask();
      await Bun.sleep(200);
      expect(logged()).toEqual(before.map((count) => count + THREADS));
    }, PATIENCE);
    await reload({ "log-level": "info", "allowed-sdk-keys": [KEPT, REMOVED, ...NEW] });
    await eventually(async () => {
      const before = logged();
      await ask();
      await Bun.sleep(200);
      expect(logged()).toEqual(before);
    }, PATIENCE);
  }, 60_000);

  test("with a new limit of streams", async () => {
    const grpc = await started.openGrpc();
    const open = () =>
      Promise.all(
        grpc.map(async (client) => {
          const stream = client.streamConfigSpec({ sdkKey: KEPT });
          const isOpen = await stream.next().then(
            () => true,
            () => false,
          );
          return { isOpen, stream };
        }),
      );
    for (const limit of [2, 3, 1]) {
      await reload({ "grpc-max-concurrent-streams": limit });
      await eventually(async () => {
        const opened = await open();
        for (const { stream } of opened) stream.cancel();
        expect(opened.filter(({ isOpen }) => isOpen)).toHaveLength(limit);
      }, PATIENCE);
    }
    await reload({ "grpc-max-concurrent-streams": 100 });
  }, 60_000);

  test("with a new limit of requests in flight", async () => {
    const { upstream } = started;
    const http = await started.openHttp();
    const unused = [...NEW];
    for (const limit of [1, 2, 3]) {
      await reload({ "max-concurrent-requests": limit });
      await eventually(async () => {
        const keys = unused.splice(0, THREADS);
        for (const sdkKey of keys) publishKey(upstream, sdkKey);
        const restore = keys.map((sdkKey) =>
          upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), delayMs: 300 }),
        );
        const answers = await Promise.all(http.map((client, at) => client.get(specPath(keys[at] ?? ""))));
        for (const each of restore) each();
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(limit);
      }, PATIENCE);
    }
    await reload({ "max-concurrent-requests": 1_000 });
  }, 60_000);

  test("with other allowed keys, and only the streams of removed keys end", async () => {
    const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
    const follow = (sdkKey: string) => grpc.map((client) => client.streamConfigSpec({ sdkKey }));
    const [ending, staying] = [follow(REMOVED), follow(KEPT)];
    for (const stream of [...ending, ...staying]) await stream.next();
    await reload({ "allowed-sdk-keys": [KEPT] });
    for (const stream of ending) expect((await stream.status()).code).toBe(grpcStatus.PERMISSION_DENIED);
    // Those that serve HTTP may learn it later than those whose streams have ended.
    for (const connection of http) {
      await eventually(async () => {
        expect((await connection.get(specPath(REMOVED))).status).toBe(401);
      }, PATIENCE);
      expect((await connection.get(specPath(KEPT))).status).toBe(200);
    }
    const { lcut } = publishKey(started.upstream, KEPT, 1);
    for (const stream of staying) expect((await stream.next()).lastUpdated).toBe(lcut);
    for (const stream of staying) stream.cancel();
  }, 60_000);

  test("with a new certificate, and open connections stay open", async () => {
    const { relay, upstream } = started;
    const kept = new Map<string, ReturnType<typeof tlsGrpcClient>>();
    for (let at = 0; at < 60 && kept.size < THREADS; at++) {
      const client = owned.use(tlsGrpcClient(relay.urlOf("grpcs"), authority.caPath));
      kept.set(await threadOf(client), client);
    }
    const streams = [...kept.values()].map((client) => client.streamConfigSpec({ sdkKey: KEPT }));
    expect(streams).toHaveLength(THREADS);
    for (const stream of streams) await stream.next();
    for (const next of [authority.issue(), authority.issue({ key: "rsa" })]) {
      current = next;
      certificates.byRename(next, authority.caPath);
      await reload({});
      // Each thread has some of 40 connections, but for one run in a million.
      await eventually(() => expectShown(next, 40), { withinMs: 30_000 });
    }
    const { lcut } = publishKey(upstream, KEPT, 2);
    for (const stream of streams) expect((await stream.next()).lastUpdated).toBe(lcut);
  }, 120_000);

  test("also one that replaces another later", async () => {
    const { relay } = started;
    await reload({ "grpc-max-concurrent-streams": 2, "allowed-sdk-keys": [KEPT] });
    const grpc = await started.openGrpc();
    // At the same time, so that all of them are replaced after one delay.
    for (const client of grpc) void client.checkHeaders("/test/exit").catch(() => undefined);
    await eventually(() => expect(linesWith("serving thread replaced")).toHaveLength(THREADS), {
      withinMs: 20_000,
    });
    await expectShown(current, 10);
    const streams = (await started.openGrpc()).map((client) => client.streamConfigSpec({ sdkKey: KEPT }));
    const isOpen = await Promise.all(
      streams.map((stream) =>
        stream.next().then(
          () => true,
          () => false,
        ),
      ),
    );
    expect(isOpen.filter((each) => each)).toHaveLength(2);
    for (const connection of await started.openHttp())
      expect((await connection.get(specPath(REMOVED))).status).toBe(401);
    expect(await relay.stop()).toBe(0);
  }, 60_000);

  async function expectShown(certificate: Certified, connections: number): Promise<void> {
    for (const protocol of ["https", "grpcs"]) {
      const url = started.relay.urlOf(protocol);
      const shown = await Promise.all(Array.from({ length: connections }, () => serialShown(url)));
      expect(new Set(shown)).toEqual(new Set([serialIn(certificate)]));
    }
  }
});
