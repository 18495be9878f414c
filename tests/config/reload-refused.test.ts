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
const REFUSED = /^\S+ WARN +configuration reload failed, keeping the current configuration reason=(.*)\n$/;

describe("a SIGHUP with an invalid file", () => {
  test("changes nothing, not even valid options, and logs the reason in one line", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const good = { "polling-interval-in-s": 1, "allowed-sdk-keys": [KEY] };
    await using reloaded = await startReloadedRelay(upstream, good);
    using client = new GrpcClient(reloaded.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY });
    await stream.next();
    const right = "debug-logging: true\nallowed-sdk-keys: secret-other\nmode: http\ncache: disabled\n";
    for (const [wrong, reason] of [
      ["http-port: 99999", 'invalid value "99999" for http-port in FILE (expected'],
      ["log-level: loud", 'invalid value "loud" for log-level in FILE (expected debug, info, warn or error)'],
      ["http-prot: 1", 'unknown name "http-prot" in FILE (did you mean http-port?)'],
      ["\tmax-concurrent-requests: 1", "Tabs are not allowed"],
      ["enforce-mtls: true", "enforce-mtls in FILE requires --x509-server-cert-path"],
      ["preload-sdk-keys: secret-third", "lacks 1 of the keys of preload-sdk-keys in FILE"],
      ["preload-sdk-keys: '@/nowhere/keys'", "no such file or directory"],
    ] as const) {
      const logged = await reloaded.reloadText(`${right}${wrong}\n`);
      expect(logged).toMatch(REFUSED);
      expect(logged.replaceAll('\\"', '"')).toContain(reason);
    }
    rmSync(reloaded.path);
    expect(await reloaded.hangUp()).toMatch(/reason=.*no such file or directory/);
    publishKey(upstream, KEY, 1);
    await stream.next();
    expect((await specsOf(reloaded.relay, "secret-other")).status).toBe(401);
    expect(reloaded.relay.output()).not.toMatch(/DEBUG|configuration reloaded/);
    expect(await reloaded.reload(good)).toContain("changed=nothing");
  });

  test("changes nothing if the file is valid only after a restart", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream, { "maximum-concurrent-sdk-keys": 1 });
    const logged = await reloaded.reload({
      "maximum-concurrent-sdk-keys": 3,
      "preload-sdk-keys": ["secret-a", "secret-b"],
    });
    expect(logged).toContain("lists 2 keys (expected at most 1, the value of --maximum-concurrent-sdk-keys)");
  });
});

describe("a change that a SIGHUP cannot apply", () => {
  test("is logged each time until it is reverted or the relay is restarted, and the rest is applied", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream);
    const differing = {
      mode: "http",
      "http-port": 1,
      "max-concurrent-requests": 5,
      "local-cache-path": "/elsewhere",
    };
    const logged = await reloaded.reload(differing);
    expect(logged).toMatch(/configuration reloaded file=FILE changed=max-concurrent-requests\n/);
    const warning = /WARN +restart required for changed options options=mode,local-cache-path,http-port\n/;
    expect(logged).toMatch(warning);
    expect(await reloaded.hangUp()).toMatch(warning);
    expect((await fetch(`${reloaded.relay.httpUrl}/v1/health`)).status).toBe(200);
    expect(await reloaded.reload({ "max-concurrent-requests": 5 })).not.toContain("restart");
  });

  test("is adding or removing the list of allowed keys", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using reloaded = await startReloadedRelay(upstream);
    expect(await reloaded.reload({ "allowed-sdk-keys": "secret-other" })).toMatch(
      /changed=nothing\n.*options=allowed-sdk-keys\n/,
    );
    expect((await specsOf(reloaded.relay, KEY)).status).toBe(200);
  });

  test("is a number that is replaced, which is logged again", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream);
    const logged = await reloaded.reload({ "grpc-max-concurrent-streams": 2_000_000 });
    expect(logged).toContain("changed=grpc-max-concurrent-streams");
    await eventually(() =>
      expect(reloaded.relay.output()).toMatch(
        /WARN +value out of range, replaced setting=.*grpc-max-concurrent-streams in \S+ given=2000000 used=1000000/,
      ),
    );
  });

  test("is an option that a flag or a variable sets", async () => {
    await using upstream = await startUpstream();
    const args = ["--max-concurrent-requests", "7"];
    await using reloaded = await startReloadedRelay(upstream, { "max-concurrent-requests": 1 }, args);
    expect(await reloaded.reload({ "max-concurrent-requests": 2 })).toContain("changed=nothing");
  });
});

describe("a SIGHUP without --config", () => {
  test("reloads SDK key files, and logs that there is no --config", async () => {
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
    await eventually(() =>
      expect(relay.output()).toMatch(
        /INFO +certificates and SDK key files reloaded, no --config to reload changed=preload-sdk-keys\n/,
      ),
    );
    preloaded.remove();
    relay.signal("SIGHUP");
    await eventually(() =>
      expect(relay.output()).toMatch(
        /WARN.* keeping the current configuration reason="--preload-sdk-keys: .*no such file/,
      ),
    );
  });
});

describeWith("openssl")("a SIGHUP with TLS", () => {
  test("logs whether the certificate is new, the same or damaged", async () => {
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
  test("SIGHUP reloads while the terminal is open, and stops the relay when it closes", async () => {
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
      await eventually(() => expect(output).toContain("certificates and SDK key files reloaded"));
      child.terminal?.close();
      expect(await within(child.exited, 15_000, "the end")).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
