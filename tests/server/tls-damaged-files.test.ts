import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const REFUSED = "invalid certificate files, keeping the current certificate";
const TIMEOUT = { withinMs: 20_000, everyMs: 100 };

const text = (path: string): string => readFileSync(path, "utf8");
/** Some lines of a PEM block, without its end. */
const cut = (path: string): string => text(path).split("\n").slice(0, 4).join("\n");
const BYTE_ORDER_MARK = "\ufeff";

/** A kind of file that must be rejected: `first` is served, `next` is being put in its place. */
type Damage = (files: CertificateFiles, next: Certified, authority: Authority) => void;

const DAMAGES: readonly (readonly [what: string, reason: string, damage: Damage])[] = [
  ["cut within the leaf", "truncated", (files, next) => write(files, next, cut(next.certPath))],
  [
    "a good leaf, and a chain whose second certificate is cut off",
    "truncated",
    (files, next, { caPath }) => write(files, next, text(next.certPath) + cut(caPath)),
  ],
  [
    "a good leaf, and a second certificate that is truncated",
    "truncated",
    (files, next) => write(files, next, `${text(next.certPath)}-----BEGIN CERTIF`),
  ],
  [
    "a second certificate with invalid contents",
    "damaged",
    (files, next) =>
      write(
        files,
        next,
        `${text(next.certPath)}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      ),
  ],
  ["empty", "is empty", (files, next) => write(files, next, "")],
  ["a line break alone", "holds no PEM certificate", (files, next) => write(files, next, "\n")],
  [
    "DER",
    "holds no PEM certificate, but DER (convert it: openssl x509 ",
    (files, next) => {
      const der = execFileSync("openssl", ["x509", "-in", next.certPath, "-outform", "der"]);
      write(files, next, der);
    },
  ],
  [
    "a private key in place of the certificate",
    "holds no PEM certificate, but a private key (expected the file of the certificate)",
    (files, next) => writeFileSync(files.certPath, text(next.keyPath)),
  ],
  [
    "a certificate in place of the private key",
    "holds no PEM private key, but a certificate (expected the file of the private key)",
    (files, next) => writeFileSync(files.keyPath, text(next.certPath)),
  ],
  [
    "a private key in DER",
    "holds no PEM private key, but DER (convert it: openssl pkey ",
    (files, next) => {
      const der = execFileSync("openssl", ["pkey", "-in", next.keyPath, "-outform", "der"]);
      writeFileSync(files.keyPath, der);
    },
  ],
  [
    "UTF-16",
    "holds no PEM certificate",
    (files, next) => write(files, next, Buffer.from(text(next.certPath), "utf16le")),
  ],
  [
    "the chain in the wrong order",
    "does not belong to the certificate",
    (files, next, { caPath }) => write(files, next, text(caPath) + text(next.certPath)),
  ],
  [
    "a key of another certificate",
    "does not belong to the certificate",
    (files, next) => writeFileSync(files.keyPath, text(next.keyPath)),
  ],
  [
    "a key that is cut",
    "holds no PEM private key",
    (files, next) => writeFileSync(files.keyPath, cut(next.keyPath)),
  ],
  ["an empty key", "is empty", (files) => writeFileSync(files.keyPath, "")],
  [
    "authorities that are cut",
    "truncated",
    (files, _next, { caPath }) => writeFileSync(files.caPath, text(caPath) + cut(caPath)),
  ],
  [
    "a CA file without certificates",
    "holds no PEM certificate",
    (files) => writeFileSync(files.caPath, "none\n"),
  ],
  [
    "a folder",
    "is a directory",
    (files) => {
      rmSync(files.certPath);
      mkdirSync(files.certPath);
    },
  ],
  ["missing", "no such file or directory", (files) => rmSync(files.certPath)],
  [
    "a symlink that leads to itself",
    "symbolic links that lead to each other",
    (files) => {
      rmSync(files.certPath);
      symlinkSync(files.certPath, files.certPath);
    },
  ],
];

/** Writes both files of `next`, with the certificate as given. */
function write(files: CertificateFiles, next: Certified, certificate: string | Uint8Array): void {
  writeFileSync(files.keyPath, text(next.keyPath));
  writeFileSync(files.certPath, certificate);
}

async function expectServed(relay: RelayProcess, certified: Certified): Promise<void> {
  await eventually(async () => {
    for (const protocol of ["https", "grpcs"])
      expect(await serialShown(relay.urlOf(protocol))).toBe(serialIn(certified));
  }, TIMEOUT);
}

describeWith("openssl")("certificate files", () => {
  const owned = new AsyncDisposableStack();
  let authority: Authority;
  let upstream: Upstream;
  let first: Certified;
  let second: Certified;
  beforeAll(async () => {
    authority = owned.use(new Authority());
    upstream = owned.use(await startUpstream());
    [first, second] = [authority.issue(), authority.issue()];
  });
  afterAll(() => owned.disposeAsync());

  const start = async (files: CertificateFiles) => {
    files.inPlace(first, authority.caPath);
    // Lines above a limit per minute are written at this level.
    const args = ["--debug-logging"];
    return startRelayWithTls({ upstream, server: files, clientCaPath: files.caPath, args });
  };
  const refusals = (relay: RelayProcess): readonly string[] =>
    relay
      .output()
      .split("\n")
      .filter((line) => line.includes(REFUSED));

  /** One after the other, with one relay: it must be able to load the next files after each. */
  const damageAll = async (damages: typeof DAMAGES) => {
    using files = new CertificateFiles();
    await using relay = await start(files);
    let [served, next] = [first, second];
    for (const [what, reason, damage] of damages) {
      const before = relay.output().length;
      damage(files, next, authority);
      await eventually(() => {
        const said = `${what}: ${relay.output().slice(before)}`;
        expect(said).toContain("invalid certificate files");
        expect(said).toContain(reason);
      }, TIMEOUT);
      await expectServed(relay, served);
      rmSync(files.certPath, { recursive: true, force: true });
      files.inPlace(next, authority.caPath);
      await expectServed(relay, next);
      [served, next] = [next, served];
    }
    expect(relay.output()).not.toContain("PRIVATE KEY");
  };

  test("of every damaged kind are rejected; the old ones stay, and valid ones are loaded", async () => {
    const parts = [0, 1, 2, 3].map((part) => DAMAGES.filter((_, at) => at % 4 === part));
    await Promise.all(parts.map(damageAll));
  }, 150_000);

  test.each<readonly [string, (files: CertificateFiles, caPath: string) => void]>([
    [
      "a byte order mark before each file",
      (files, caPath) => {
        writeFileSync(files.keyPath, BYTE_ORDER_MARK + text(second.keyPath));
        writeFileSync(files.caPath, BYTE_ORDER_MARK + text(caPath));
        writeFileSync(files.certPath, BYTE_ORDER_MARK + text(second.certPath));
      },
    ],
    [
      "lines that end with CRLF",
      (files) => write(files, second, text(second.certPath).replaceAll("\n", "\r\n")),
    ],
    [
      "words around the blocks",
      (files) => write(files, second, `Leaf:\n${text(second.certPath)}that was it`),
    ],
    [
      "the private key before the certificate, in one file",
      (files) => {
        const both = text(second.keyPath) + text(second.certPath);
        writeFileSync(files.keyPath, both);
        writeFileSync(files.certPath, both);
      },
    ],
    [
      "the chain behind the leaf",
      (files, caPath) => write(files, second, text(second.certPath) + text(caPath)),
    ],
  ])(
    "with %s are taken",
    async (_, put) => {
      using files = new CertificateFiles();
      await using relay = await start(files);
      put(files, authority.caPath);
      await expectServed(relay, second);
      expect(refusals(relay).filter((line) => !line.includes("does not belong"))).toEqual([]);
    },
    60_000,
  );

  test("behind a symlink that is switched are rejected as well, and valid ones that it is switched to next are loaded", async () => {
    using files = new CertificateFiles();
    using damaged = new CertificateFiles();
    files.bySymlink(first, authority.caPath);
    await using relay = await startRelayWithTls({ upstream, server: files });
    write(damaged, second, text(second.certPath) + cut(authority.caPath));
    files.bySymlink(damaged, authority.caPath);
    await eventually(() => expect(refusals(relay).join()).toContain("truncated"), TIMEOUT);
    await expectServed(relay, first);
    files.bySymlink(second, authority.caPath);
    await expectServed(relay, second);
  }, 60_000);

  // Root may read every file.
  test.skipIf(process.getuid?.() === 0)(
    "that may not be read are rejected",
    async () => {
      using files = new CertificateFiles();
      await using relay = await start(files);
      chmodSync(files.certPath, 0);
      await eventually(() => expect(refusals(relay).join()).toContain("permission denied"), TIMEOUT);
      await expectServed(relay, first);
      chmodSync(files.certPath, 0o600);
      files.inPlace(second, authority.caPath);
      await expectServed(relay, second);
    },
    60_000,
  );
});
