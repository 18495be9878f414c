import { expect } from "bun:test";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { BuiltImage } from "../support/deploy/built-image.ts";
import { readFinalImage } from "../support/deploy/final-image.ts";
import { ImageContainer, whyNoContainers } from "../support/deploy/image-container.ts";
import { CA_BUNDLE } from "../support/deploy/image-root.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const image = readFinalImage();
const whyNot = whyNoContainers();
if (whyNot !== undefined) console.error(`The tests of the image in a chroot are skipped: ${whyNot}`);

let built: BuiltImage;
let authority: Authority;

beforeAll(() => {
  if (whyNot !== undefined) return;
  built = new BuiltImage();
  authority = new Authority("Authority of the company");
  built.root.trust(authority.caPath);
}, 300_000);

afterAll(() => {
  built?.[Symbol.dispose]();
  authority?.[Symbol.dispose]();
});

/** A volume with the owner that the engine gives it, and free ports. */
class Deployment implements Disposable {
  readonly volume = mkdtempSync(join(tmpdir(), "sfp-image-volume-"));
  readonly #env: Record<string, string>;

  constructor(env: Readonly<Record<string, string>>) {
    chownSync(this.volume, image.uid, image.gid);
    this.#env = { ...env };
  }

  static async of(upstream: Upstream, env: Readonly<Record<string, string>> = {}): Promise<Deployment> {
    const ports: Record<string, string> = {};
    const chosen = new Set<number>();
    while (chosen.size < 3) chosen.add(await freePort());
    for (const [at, port] of [...chosen].entries())
      ports[`SFP_${["HTTP", "GRPC", "MANAGEMENT"][at]}_PORT`] = String(port);
    return new Deployment({
      STATSIG_ENDPOINT: upstream.url,
      SFP_POLLING_INTERVAL_IN_S: "1",
      ...ports,
      ...env,
    });
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.#env["SFP_HTTP_PORT"]}${path}`;
  }

  start(): ImageContainer {
    return this.#run(image.entrypoint);
  }

  /** Runs the health check as the engine does: in a process of its own with the same environment. */
  async healthcheck(): Promise<readonly [exitCode: number, printed: string]> {
    await using probe = this.#run(image.healthcheck);
    return [await probe.exited(), probe.output.trim()];
  }

  async printed(command: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
    await using container = this.#run(command, env);
    await container.exited();
    return container.output.trim();
  }

  #run(command: readonly string[], env: Readonly<Record<string, string>> = {}): ImageContainer {
    return new ImageContainer(command, {
      root: built.root,
      image,
      volume: this.volume,
      env: { ...this.#env, ...env },
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.volume, { recursive: true, force: true });
  }
}

const startSecureUpstream = () => startUpstream({ tls: { ...pemOf(authority.issue()), http: "both" } });

describe.skipIf(whyNot !== undefined)("the image as a non-root user on a read-only root", () => {
  test("fetches over TLS with the authorities of its bundle", async () => {
    await using upstream = await startSecureUpstream();
    const key = publishKey(upstream, "secret-image");
    using deployment = await Deployment.of(upstream);
    await using relay = deployment.start();
    await relay.serving();
    const response = await rawGet(deployment.url(`/v2/download_config_specs/${key.sdkKey}.json`));
    expect(textOf(response)).toBe(key.v2);
    // Background work that depends on the system has run by then.
    await sleep(1_000);
    expect((await rawGet(deployment.url("/v1/ready"))).status).toBe(200);
    expect(relay.output).not.toMatch(/EROFS|EACCES|limit reached/);
  });

  test("its health check exits with 0 if ready, with 1 and a reason if not", async () => {
    await using upstream = await startSecureUpstream();
    upstream.misbehave(status(500));
    using deployment = await Deployment.of(upstream, { SFP_PRELOAD_SDK_KEYS: "secret-preloaded" });
    expect(await deployment.healthcheck()).toEqual([1, expect.stringMatching(/^nothing is listening at /)]);
    await using relay = deployment.start();
    await relay.serving();
    expect(await deployment.healthcheck()).toEqual([
      1,
      expect.stringMatching(/^not ready: 1 of 1 preloaded/),
    ]);
    upstream.behave();
    publishKey(upstream, "secret-preloaded");
    await eventually(async () => expect((await deployment.healthcheck())[0]).toBe(0), { withinMs: 20_000 });
    expect(await relay.stop(image.stopSignal)).toBe(0);
    expect((await deployment.healthcheck())[0]).toBe(1);
  });

  test("keeps its backup in the volume and serves from it after a restart without upstream", async () => {
    await using upstream = await startSecureUpstream();
    const key = publishKey(upstream, "secret-kept");
    using deployment = await Deployment.of(upstream);
    const url = deployment.url(`/v1/download_config_specs/${key.sdkKey}.json`);
    {
      await using first = deployment.start();
      await first.serving();
      expect(textOf(await rawGet(url))).toBe(key.v1);
      expect(await first.stop(image.stopSignal)).toBe(0);
    }
    expect(readdirSync(deployment.volume)).not.toBeEmpty();
    upstream.misbehave(status(500));
    await using second = deployment.start();
    await second.serving();
    expect(textOf(await rawGet(url))).toBe(key.v1);
  });

  test(`exits with 0 on ${image.stopSignal} as PID 1 of its container`, async () => {
    await using upstream = await startSecureUpstream();
    using deployment = await Deployment.of(upstream);
    await using relay = deployment.start();
    await relay.serving();
    const startedAt = performance.now();
    expect(await relay.stop(image.stopSignal)).toBe(0);
    // Less than the grace period of 10 s.
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect(relay.output).toContain("stopped");
  });

  test("has time zones, and its user can only write to the volume", async () => {
    await using upstream = await startSecureUpstream();
    using deployment = await Deployment.of(upstream);
    // With BUN_BE_BUN the executable runs code, in place of the shell that the image does not have.
    const run = (code: string, env = {}) =>
      deployment.printed([...image.entrypoint, "-e", code], { BUN_BE_BUN: "1", ...env });
    expect(await run("console.log(new Date(0).getHours())", { TZ: "Asia/Tokyo" })).toBe("9");
    const places = ["/", "/tmp", "/usr/local/bin", "/home/nonroot", image.volume];
    const tried = places.map(
      (place) => `try { fs.writeFileSync("${place}/x", ""); console.log("${place}") } catch {}`,
    );
    expect(await run(`const fs = require("node:fs"); ${tried.join("; ")}`)).toBe(image.volume);
    expect(await run("console.log(process.getuid(), process.getgid())")).toBe(`${image.uid} ${image.gid}`);
    expect(await run(`console.log(require("node:fs").existsSync("${CA_BUNDLE}"))`)).toBe("true");
  });
});
