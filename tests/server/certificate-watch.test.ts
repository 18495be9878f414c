import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { systemClock } from "../../src/platform/clock.ts";
import type { Supervisor } from "../../src/platform/supervisor.ts";
import { CertificateWatch } from "../../src/server/certificate-watch.ts";
import { CertificateError, type Certificates, type TlsSettings } from "../../src/server/certificates.ts";
import { ServerTls } from "../../src/server/tls.ts";
import type { TlsEvent } from "../../src/server/tls-events.ts";
import { describeWith } from "../support/common/needs.ts";
import { quietSupervisor, strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { CertificateFiles, serialIn, serialShown } from "../support/relay/certificate-files.ts";
import { Authority, type Certified } from "../support/relay/pki.ts";

const SETTINGS: TlsSettings = { minVersion: "1.2", requireClientCert: false, clientNames: [] };
const WAIT = { withinMs: 20_000 };

/** Watches files until the end of the test. `threads` are the servers of two threads, which get copies of the certificates. */
async function watched(files: CertificateFiles, supervisor: Supervisor = strictSupervisor()) {
  const owned = new AsyncDisposableStack();
  const events: TlsEvent[] = [];
  const emit = (event: TlsEvent) => void events.push(event);
  const { certPath, keyPath } = files;
  const paths = { certPath, keyPath, clientCaPath: undefined, passphrase: undefined };
  const watch = owned.use(new CertificateWatch(paths, { clock: systemClock, supervisor, emit }));
  const threads = await Promise.all([0, 1].map(() => listen(structuredClone(watch.current), owned)));
  for (const { tls } of threads) watch.onReplaced((next) => tls.replace(structuredClone(next)));
  const kinds = () => events.map(({ kind }) => kind);
  const shown = () => Promise.all(threads.map(({ url }) => serialShown(url)));
  return { watch, events, kinds, shown, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function listen(certificates: Certificates, owned: AsyncDisposableStack) {
  const tls = new ServerTls({ settings: SETTINGS, certificates, emit: () => {} });
  const server = createServer(tls.serverOptions);
  tls.secure(server, "h2");
  owned.defer(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { tls, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describeWith("openssl")("one reader of the certificate files for the servers of several threads", () => {
  let authority: Authority;
  let first: Certified;
  let second: Certified;
  beforeAll(() => {
    authority = new Authority();
    [first, second] = [authority.issue(), authority.issue({ key: "rsa" })];
  });
  afterAll(() => authority[Symbol.dispose]());

  const filesOf = (files: Certified) => {
    const copy = new CertificateFiles();
    copy.inPlace(files, authority.caPath);
    return copy;
  };
  const twice = (files: Certified) => [serialIn(files), serialIn(files)];

  test("new files reach every server once", async () => {
    using files = filesOf(first);
    await using running = await watched(files);
    expect(await running.shown()).toEqual(twice(first));
    files.byRename(second, authority.caPath);
    running.watch.checkNow();
    await eventually(
      () => expect(running.kinds()).toEqual(["certificate_loaded", "certificate_loaded"]),
      WAIT,
    );
    expect(running.events).toMatchObject([{ replaces: false }, { replaces: true }]);
    expect(await running.shown()).toEqual(twice(second));
    expect(running.watch.current.serial.toLowerCase()).toBe(serialIn(second));
  });

  test("files that cannot be used change nothing on any server, nor for a thread that starts later", async () => {
    using files = filesOf(first);
    await using running = await watched(files);
    const before = running.watch.current;
    // A valid certificate with the key of another one.
    copyFileSync(second.certPath, files.certPath);
    running.watch.checkNow();
    await eventually(
      () => expect(running.kinds()).toEqual(["certificate_loaded", "certificate_refused"]),
      WAIT,
    );
    expect(running.watch.current).toBe(before);
    expect(await running.shown()).toEqual(twice(first));
    copyFileSync(second.keyPath, files.keyPath);
    running.watch.checkNow();
    await eventually(() => expect(running.kinds().at(-1)).toBe("certificate_loaded"), WAIT);
    expect(await running.shown()).toEqual(twice(second));
  });

  test("a check without a change is reported, and replaces nothing", async () => {
    using files = filesOf(first);
    await using running = await watched(files);
    let replaced = 0;
    running.watch.onReplaced(() => replaced++);
    running.watch.checkNow();
    await eventually(() => expect(running.events).toHaveLength(2), WAIT);
    expect(running.events[1]).toMatchObject({ kind: "certificate_loaded", replaces: false });
    expect(replaced).toBe(0);
  });

  test("a listener that throws is called again with the same certificates", async () => {
    using files = filesOf(first);
    await using running = await watched(files, quietSupervisor());
    const serials: string[] = [];
    running.watch.onReplaced(({ serial }) => {
      serials.push(serial.toLowerCase());
      if (serials.length === 1) throw new Error("a bug");
    });
    files.byRename(second, authority.caPath);
    running.watch.checkNow();
    await eventually(() => expect(serials).toEqual(twice(second)), WAIT);
    await eventually(() => expect(running.events).toHaveLength(2), WAIT);
    expect(await running.shown()).toEqual(twice(second));
  });

  test("files that cannot be used at the start throw, and are not watched", async () => {
    using files = filesOf(first);
    writeFileSync(files.keyPath, "hello");
    await expect(watched(files)).rejects.toThrow(CertificateError);
    rmSync(files.keyPath);
    await expect(watched(files)).rejects.toThrow("no such file");
  });
});
