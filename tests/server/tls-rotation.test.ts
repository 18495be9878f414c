import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { KeptConnection } from "../support/clients/kept-connection.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls, tlsGrpcClient } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** The relay looks at the files once a second. */
const TAKEN_WITHIN_MS = 20_000;
const PATIENCE = { withinMs: TAKEN_WITHIN_MS };
const sdkKey = "secret-tls-rotation";

const timesSaid = (relay: RelayProcess, words: string): number => relay.output().split(words).length - 1;
const REFUSED = "invalid certificate files, keeping the current certificate";

const expectShown = (relay: RelayProcess, files: Certified): Promise<void> =>
  eventually(
    async () => {
      for (const protocol of ["https", "grpcs"])
        expect(await serialShown(relay.urlOf(protocol))).toBe(serialIn(files));
    },
    { withinMs: TAKEN_WITHIN_MS, everyMs: 100 },
  );

describeWith("openssl")("new certificate files", () => {
  const owned = new AsyncDisposableStack();
  let authority: Authority;
  let upstream: Upstream;
  let first: Certified;
  let second: Certified;
  let third: Certified;
  let version = 0;
  beforeAll(async () => {
    authority = owned.use(new Authority());
    upstream = owned.use(await startUpstream());
    [first, second, third] = [authority.issue(), authority.issue({ key: "rsa" }), authority.issue()];
  });
  afterAll(() => owned.disposeAsync());

  test.each(["byRename", "inPlace", "bySymlink"] as const)(
    "%s: new connections get them, open ones stay open",
    async (how) => {
      using files = new CertificateFiles();
      files[how](first, authority.caPath);
      await using relay = await startRelayWithTls({ upstream, server: files });
      publishKey(upstream, sdkKey, ++version);
      using grpc = tlsGrpcClient(relay.urlOf("grpcs"), authority.caPath);
      using stream = grpc.streamConfigSpec({ sdkKey, version: 2 });
      await stream.next();
      using kept = await KeptConnection.open(relay.urlOf("https"));
      expect(await kept.get("/v1/health")).toBe(200);

      for (const next of [second, third]) {
        files[how](next, authority.caPath);
        await expectShown(relay, next);
        const line = `certificate replaced serial=${serialIn(next)}`;
        await eventually(() => expect(relay.output().toLowerCase()).toContain(line), PATIENCE);
        expect(await kept.get("/v1/health")).toBe(200);
        const { lcut } = publishKey(upstream, sdkKey, ++version);
        expect((await stream.next()).lastUpdated).toBe(lcut);
      }
      expect(timesSaid(relay, "certificate replaced")).toBe(2);
      expect(timesSaid(relay, REFUSED)).toBe(0);
    },
    80_000,
  );

  describe("that cannot be used: reported once, the old ones stay, and the next valid ones are loaded", () => {
    test.each([
      ["garbage", (files: CertificateFiles) => writeFileSync(files.certPath, "hello"), "no PEM"],
      [
        "a key of another certificate",
        (files: CertificateFiles) => copyFileSync(second.keyPath, files.keyPath),
        "does not belong",
      ],
      ["a missing key", (files: CertificateFiles) => rmSync(files.keyPath), "no such file"],
      [
        "half a certificate",
        (files: CertificateFiles) => {
          const whole = readFileSync(second.certPath, "utf8");
          writeFileSync(files.certPath, whole.slice(0, whole.length / 2));
        },
        "truncated",
      ],
    ])(
      "%s",
      async (_, damage, reason) => {
        using files = new CertificateFiles();
        files.inPlace(first, authority.caPath);
        await using relay = await startRelayWithTls({ upstream, server: files });
        damage(files);
        await eventually(() => expect(timesSaid(relay, REFUSED)).toBe(1), PATIENCE);
        await eventually(() => expect(relay.output()).toMatch(reason));
        // Two more checks of the files.
        await sleep(2_200);
        expect(timesSaid(relay, REFUSED)).toBe(1);
        await expectShown(relay, first);
        files.inPlace(second, authority.caPath);
        await expectShown(relay, second);
        expect(timesSaid(relay, REFUSED)).toBe(1);
        expect(relay.output()).not.toContain("PRIVATE KEY");
      },
      80_000,
    );
  });

  test("a certificate first, and its key only after a check of both: loaded when both are there", async () => {
    using files = new CertificateFiles();
    files.inPlace(first, authority.caPath);
    await using relay = await startRelayWithTls({ upstream, server: files });
    copyFileSync(second.certPath, files.certPath);
    await eventually(() => expect(timesSaid(relay, REFUSED)).toBe(1), PATIENCE);
    await expectShown(relay, first);
    copyFileSync(second.keyPath, files.keyPath);
    await expectShown(relay, second);
  }, 80_000);
});
