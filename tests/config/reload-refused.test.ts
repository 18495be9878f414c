import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { KeyFile, specsOf } from "../support/relay/access.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority } from "../support/relay/pki.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { relayCommand } from "../support/relay/run-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-reload-refused-0123";
const REFUSED = /^\S+ WARN +the new configuration can't be used, everything stays as it was reason=(.*)\n$/;

describe("a SIGHUP with a file that can't be used", () => {
  test("changes nothing, also of what is right in it, and says why in one line", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const good = { "polling-interval-in-s": 1, "allowed-sdk-keys": [KEY] };
    await using reloaded = await startReloadedRelay(upstream, good);
    using client = new GrpcClient(reloaded.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY });
    await stream.next();
    const right = "debug-logging: true\nallowed-sdk-keys: secret-other\nmode: http\ncache: disabled\n";
    for (const [wrong, reason] of [
      ["http-port: 99999", 'http-port in FILE is "99999", allowed is'],
      ["log-level: loud", 'log-level in FILE is "loud", allowed is debug, info, warn, error'],
      ["http-prot: 1", 'unknown name "http-prot" in FILE: did you mean http-port?'],
      ["\tmax-in-flight: 1", "Tabs are not allowed"],
      ["enforce-mtls: true", "enforce-mtls in FILE needs --x509-server-cert-path"],
      ["preload-sdk-keys: secret-third", "lacks 1 of the keys of preload-sdk-keys in FILE"],
      ["preload-sdk-keys: '@/nowhere/keys'", "no such file or directory"],
    ] as const) {
      const told = await reloaded.reloadText(`${right}${wrong}\n`);
      expect(told).toMatch(REFUSED);
      expect(told.replaceAll('\\"', '"')).toContain(reason);
    }
    rmSync(reloaded.path);
    expect(await reloaded.hangUp()).toMatch(/reason=.*no such file or directory/);
    publishKey(upstream, KEY, 1);
    await stream.next();
    expect((await specsOf(reloaded.relay, "secret-other")).status).toBe(401);
    expect(reloaded.relay.output()).not.toMatch(/DEBUG|configuration reloaded/);
    expect(await reloaded.reload(good)).toContain("changed=nothing");
  });

  test("also where it is right but for what the relay goes on with until a restart", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream, { "maximum-concurrent-sdk-keys": 1 });
    const told = await reloaded.reload({
      "maximum-concurrent-sdk-keys": 3,
      "preload-sdk-keys": ["secret-a", "secret-b"],
    });
    expect(told).toContain("names 2 keys, allowed by --maximum-concurrent-sdk-keys is 1");
  });
});

describe("what a SIGHUP can't take over", () => {
  test("is named each time until it is back or the relay was restarted; the rest is taken over", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream);
    const differing = { mode: "http", "http-port": 1, "max-in-flight": 5, "local-cache-path": "/elsewhere" };
    const told = await reloaded.reload(differing);
    expect(told).toMatch(/configuration reloaded file=FILE changed=max-in-flight\n/);
    const warning =
      /WARN +other options differ now, they need a restart options=mode,local-cache-path,http-port\n/;
    expect(told).toMatch(warning);
    expect(await reloaded.hangUp()).toMatch(warning);
    expect((await fetch(`${reloaded.relay.httpUrl}/v1/health`)).status).toBe(200);
    expect(await reloaded.reload({ "max-in-flight": 5 })).not.toContain("restart");
  });

  test("is a list of allowed keys where there was none, and none where there was one", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using reloaded = await startReloadedRelay(upstream);
    expect(await reloaded.reload({ "allowed-sdk-keys": "secret-other" })).toMatch(
      /changed=nothing\n.*options=allowed-sdk-keys\n/,
    );
    expect((await specsOf(reloaded.relay, KEY)).status).toBe(200);
  });

  test("is what a flag or a variable says", async () => {
    await using upstream = await startUpstream();
    const args = ["--max-in-flight", "7"];
    await using reloaded = await startReloadedRelay(upstream, { "max-in-flight": 1 }, args);
    expect(await reloaded.reload({ "max-in-flight": 2 })).toContain("changed=nothing");
  });
});

describe("a SIGHUP without --config", () => {
  test("reads files of SDK keys again, and says that this is all", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    using preloaded = new KeyFile(["secret-other"]);
    using allowed = new KeyFile([KEY, "secret-other"]);
    const args = ["--preload-sdk-keys", `@${preloaded.path}`, "--allowed-sdk-keys", `@${allowed.path}`];
    await using relay = await startRelayProcess({ upstream, args });
    preloaded.write(KEY);
    relay.signal("SIGHUP");
    await eventually(() =>
      expect(upstream.count(`/v2/download_config_specs/${KEY}.json`)).toBeGreaterThan(0),
    );
    await eventually(() => expect(relay.output()).toContain("allowed SDK keys reloaded keys=2 removed=0"));
    expect(relay.output()).toMatch(
      /INFO +certificates and files of SDK keys are read again; there is no --config changed=preload-sdk-keys\n/,
    );
    preloaded.remove();
    relay.signal("SIGHUP");
    await eventually(() =>
      expect(relay.output()).toMatch(
        /WARN.* everything stays as it was reason="--preload-sdk-keys: .*no such file/,
      ),
    );
  });
});

describeWith("openssl")("a SIGHUP with TLS", () => {
  test("says what became of the certificate, whether it is another one, the same or damaged", async () => {
    await using upstream = await startUpstream();
    using authority = new Authority();
    using files = new CertificateFiles();
    const [first, second] = [authority.issue(), authority.issue()];
    files.inPlace(first, authority.caPath);
    await using relay = await startRelayWithTls({ upstream, server: files });
    const lines = (words: string) => relay.output().split(words).length - 1;
    relay.signal("SIGHUP");
    await eventually(() => expect(lines("certificate loaded")).toBe(2));
    files.inPlace(second, authority.caPath);
    relay.signal("SIGHUP");
    await eventually(() => expect(lines("certificate replaced")).toBe(1));
    expect(await serialShown(relay.urlOf("https"))).toBe(serialIn(second));
    files.inPlace({ ...second, certPath: second.keyPath }, authority.caPath);
    await eventually(() => expect(lines("invalid certificate files")).toBe(1));
    relay.signal("SIGHUP");
    await eventually(() => expect(lines("invalid certificate files")).toBe(2));
    expect(await serialShown(relay.urlOf("https"))).toBe(serialIn(second));
  });
});

describe("in a terminal", () => {
  test("SIGHUP reloads while that is there, and stops the relay when it is closed", async () => {
    let output = "";
    const decoder = new TextDecoder();
    const child = Bun.spawn(
      [
        ...relayCommand(),
        "http",
        "disabled",
        "--http-port=0",
        "--bind-address=127.0.0.1",
        "--management-port=0",
      ],
      {
        env: { PATH: process.env["PATH"] ?? "" },
        terminal: {
          cols: 200,
          rows: 24,
          data(_terminal, bytes) {
            output += decoder.decode(bytes);
          },
        },
      },
    );
    try {
      await eventually(() => expect(output).toContain(" serving "));
      child.kill("SIGHUP");
      await eventually(() => expect(output).toContain("are read again"));
      child.terminal?.close();
      expect(await within(child.exited, 5_000, "the end")).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
