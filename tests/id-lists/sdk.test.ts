import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { ClientCertificates, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import type { SdkProcess } from "../support/sdks/sdk-process.ts";

const sdkKey = "secret-sdk-lists";
const list = "company_list";

async function startRelay(proxied: boolean): Promise<IdListRelay> {
  const relay = await IdListRelay.start({ values: { "proxy-id-lists": String(proxied) } });
  relay.upstream.put(sdkKey, list, listed("acme") + listed("globex"));
  return relay;
}

/** Returns the users for whom the gate is open. */
async function open(sdk: SdkProcess): Promise<readonly string[]> {
  const users = ["acme", "globex", "initech"];
  const gates = await Promise.all(users.map((user) => sdk.gate("gate_idlist", user)));
  return users.filter((_, at) => gates[at]?.value);
}

const sees = (sdk: SdkProcess, users: readonly string[]) =>
  eventually(
    async () => {
      await sdk.syncIdLists();
      expect(await open(sdk)).toEqual([...users]);
    },
    // The Rust-cored SDK syncs once a second.
    { withinMs: 15_000, everyMs: 100 },
  );

const modes = [
  ["passed through", false],
  ["proxied", true],
] as const;

/** Checks the requests for files: with `--proxy-id-lists`, only the relay makes them. */
const expectFetched = (relay: IdListRelay, proxied: boolean, byRelay: readonly (string | null)[]) => {
  if (proxied) expect(relay.upstream.rangesAsked()).toEqual(byRelay);
  else expect(relay.upstream.rangesAsked().length).toBeGreaterThanOrEqual(byRelay.length);
};

describeWith("node")("ID lists: a gate of an SDK behind the relay", () => {
  test.each(modes)(
    "statsig-node-core, files %s",
    async (_, proxied) => {
      await using relay = await startRelay(proxied);
      await using sdk = await startCoreSdk({
        sdkKey,
        httpUrl: relay.url,
        options: { enableIdLists: true, idListsSyncIntervalMs: 1_000, downloadIdListFileApi: undefined },
      });
      expect(sdk.initialised).toEqual({ ok: true });
      await sees(sdk, ["acme", "globex"]);

      relay.upstream.append(sdkKey, list, listed("initech") + listed("acme", "-"));
      await relay.poll();
      await sees(sdk, ["globex", "initech"]);
      expectFetched(relay, proxied, [null, "bytes=20-"]);

      relay.upstream.put(sdkKey, list, listed("acme"), {
        fileID: "another",
        creationTime: 1_800_000_000_000,
      });
      await relay.poll();
      await sees(sdk, ["acme"]);

      relay.upstream.remove(sdkKey, list);
      await relay.poll();
      await sees(sdk, []);
      expect(sdk.log()).not.toMatch(/error/i);
    },
    60_000,
  );

  test.each(modes)(
    "statsig-node, files %s",
    async (_, proxied) => {
      await using relay = await startRelay(proxied);
      await using sdk = await startLegacySdk({
        sdkKey,
        httpUrl: relay.url,
        options: { disableIdListsSync: false, initStrategyForIDLists: "await" },
      });
      expect(sdk.initialised).toEqual({ ok: true });
      await sees(sdk, ["acme", "globex"]);

      relay.upstream.append(sdkKey, list, listed("initech") + listed("acme", "-"));
      await relay.poll();
      await sees(sdk, ["globex", "initech"]);
      expectFetched(relay, proxied, [null, "bytes=20-"]);

      // This SDK never forgets a list that was removed; it replaces the file.
      relay.upstream.put(sdkKey, list, listed("acme"), {
        fileID: "another",
        creationTime: 1_800_000_000_000,
      });
      await relay.poll();
      await sees(sdk, ["acme"]);
    },
    60_000,
  );
});

describeWith("node")("ID lists: a list whose file the relay does not have yet, with --proxy-id-lists", () => {
  /** The list of the gate, and another that always works. */
  const put = (upstream: IdListUpstream) => {
    upstream.put(sdkKey, list, listed("acme") + listed("globex"));
    upstream.put(sdkKey, "another_list", listed("hooli"));
  };
  const without = (upstream: IdListUpstream) => {
    upstream.fault = ({ path }) =>
      path.endsWith(encodeURIComponent(`file/${list}`)) ? new Response("no", { status: 404 }) : undefined;
  };
  const startOn = (upstream: IdListUpstream, port = "0") =>
    IdListRelay.start({ upstream, values: { "proxy-id-lists": "true", "http-port": port } });
  const kinds = [
    [
      "statsig-node-core",
      (httpUrl: string) =>
        startCoreSdk({
          sdkKey,
          httpUrl,
          options: { enableIdLists: true, idListsSyncIntervalMs: 1_000, downloadIdListFileApi: undefined },
        }),
    ],
    [
      "statsig-node",
      (httpUrl: string) =>
        startLegacySdk({
          sdkKey,
          httpUrl,
          options: { disableIdListsSync: false, initStrategyForIDLists: "await" },
        }),
    ],
  ] as const;

  test.each(kinds)(
    "%s keeps its list when a relay with an empty disk replaces another",
    async (_, startSdk) => {
      await using upstream = new IdListUpstream();
      put(upstream);
      const port = String(await freePort());
      const before = await startOn(upstream, port);
      await using sdk = await startSdk(before.url);
      await sees(sdk, ["acme", "globex"]);
      // Its requests would fail while there is no relay, which the Rust-cored SDK logs.
      sdk.pause();
      await before[Symbol.asyncDispose]();

      without(upstream);
      await using relay = await startOn(upstream, port);
      sdk.resume();
      expect(await relay.onDisk(sdkKey)).toEqual(["another_list"]);
      // Long enough for several syncs of the Rust-cored SDK, which cannot be triggered.
      for (let sync = 0; sync < 3; sync++) {
        await sdk.syncIdLists();
        await Bun.sleep(1_000);
        expect(await open(sdk)).toEqual(["acme", "globex"]);
      }

      upstream.fault = () => undefined;
      upstream.append(sdkKey, list, listed("initech"));
      await relay.poll();
      await sees(sdk, ["acme", "globex", "initech"]);
      expect(sdk.log()).not.toMatch(/id.?list.*failed/i);
    },
    60_000,
  );

  test.each(kinds)(
    "%s that starts then has the other lists, and this one when it arrives",
    async (_, startSdk) => {
      await using upstream = new IdListUpstream();
      put(upstream);
      without(upstream);
      await using relay = await startOn(upstream);
      await using sdk = await startSdk(relay.url);
      expect(sdk.initialised).toEqual({ ok: true });
      expect(await open(sdk)).toEqual([]);
      upstream.fault = () => undefined;
      await relay.poll();
      await sees(sdk, ["acme", "globex"]);
      upstream.append(sdkKey, list, listed("initech") + listed("acme", "-"));
      await relay.poll();
      await sees(sdk, ["globex", "initech"]);
      expect(sdk.log()).not.toMatch(/error/i);
    },
    60_000,
  );
});

describeWith("node", "openssl")("ID lists: a gate of an SDK behind the relay, over HTTPS", () => {
  test.each([
    ["TLS, files passed through", false, false],
    ["TLS, files proxied", true, false],
    ["the stream with a client certificate, files proxied", true, true],
  ])(
    "statsig-node-core by %s",
    async (_, proxied, isMutual) => {
      using pki = new ClientCertificates();
      await using upstream = new IdListUpstream();
      upstream.put(sdkKey, list, listed("acme") + listed("globex"));
      const { caPath } = pki.authority;
      await using relay = await startRelayWithTls({
        server: pki.authority.issue(),
        ...(isMutual && { clientCaPath: caPath }),
        args: proxied ? ["--proxy-id-lists"] : [],
        env: { STATSIG_ENDPOINT: upstream.url },
      });
      // This SDK requests its lists by a request without a body over HTTP/2.
      const byName = (protocol: string) => relay.urlOf(protocol).replace("127.0.0.1", "localhost");
      const { certPath, keyPath } = pki.good;
      await using sdk = await startCoreSdk({
        sdkKey,
        httpUrl: byName("https"),
        ...(isMutual && {
          grpcUrl: byName("grpcs"),
          grpcAuthentication: {
            authenticationMode: "mtls",
            caCertPath: caPath,
            clientCertPath: certPath,
            clientKeyPath: keyPath,
          },
        }),
        options: {
          enableIdLists: true,
          idListsSyncIntervalMs: 1_000,
          downloadIdListFileApi: undefined,
          proxyConfig: { caCertPath: caPath },
        },
      });
      expect(sdk.initialised).toEqual({ ok: true });
      await sees(sdk, ["acme", "globex"]);
    },
    60_000,
  );
});
