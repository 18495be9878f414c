import { expect } from "bun:test";
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { testsWith } from "../support/common/needs.ts";
import { BuiltImage } from "../support/deploy/built-image.ts";
import { readFinalImage } from "../support/deploy/final-image.ts";
import { ImageContainer, whyNoContainers } from "../support/deploy/image-container.ts";
import { testRows } from "../support/drop-in/row.ts";
import { Authority } from "../support/relay/pki.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { ENDING_ROWS, PROPERTY_ROWS, SERVING_ROWS, type ServingRow } from "./image.rows.ts";

const { afterAll, beforeAll, describe } = testsWith("openssl");

const image = readFinalImage();
const whyNot = whyNoContainers();
if (whyNot !== undefined) console.error(`The rows of commands in the image are skipped: ${whyNot}`);

const stack = new AsyncDisposableStack();
let built: BuiltImage;
let grpcPort: number;

beforeAll(async () => {
  if (whyNot !== undefined) return;
  built = stack.use(new BuiltImage());
  addCertificate(join(built.root.path, image.workdir, "tls"));
  grpcPort = stack.use(await startRelayProcess({ mode: "grpc" })).grpcPort;
}, 300_000);

afterAll(() => stack.disposeAsync());

/** Mounts a certificate, its key, and the same key with the only permission for user 101. */
function addCertificate(folder: string): void {
  using authority = new Authority();
  const { certPath, keyPath } = authority.issue();
  mkdirSync(folder);
  copyFileSync(certPath, join(folder, "tls.crt"));
  for (const [name, mode] of [
    ["tls.key", 0o644],
    ["of-101.key", 0o400],
  ] as const) {
    const path = join(folder, name);
    copyFileSync(keyPath, path);
    chmodSync(path, mode);
    chownSync(path, 101, 101);
  }
}

interface Container extends AsyncDisposable {
  readonly container: ImageContainer;
  readonly httpUrl: string;
  readonly grpcUrl: string;
}

/** Runs the row's command in the image. */
async function run({ command, env = {}, user }: ServingRow): Promise<Container> {
  const volume = mkdtempSync(join(tmpdir(), "sfp-image-volume-"));
  chownSync(volume, image.uid, image.gid);
  const ports = { HTTP: await freePort(), GRPC: await freePort(), MANAGEMENT: await freePort() };
  const given = Object.fromEntries(
    Object.entries({ ...ports, HTTPS: await freePort() }).map(([name, port]) => [
      `SFP_${name}_PORT`,
      String(port),
    ]),
  );
  const [program = "", ...args] = command.map((word) => word.replace("<port>", String(grpcPort)));
  const container = new ImageContainer(
    [...(program === "<entrypoint>" ? image.entrypoint : [program]), ...args],
    { root: built.root, image, volume, env: { ...given, ...env }, ...(user !== undefined && { user }) },
  );
  return {
    container,
    httpUrl: `http://127.0.0.1:${ports.HTTP}`,
    grpcUrl: `http://127.0.0.1:${ports.GRPC}`,
    async [Symbol.asyncDispose]() {
      await container[Symbol.asyncDispose]();
      rmSync(volume, { recursive: true, force: true });
    },
  };
}

describe.skipIf(whyNot !== undefined)("commands in the image", () => {
  testRows(SERVING_ROWS, async (row) => {
    await using started = await run(row);
    await started.container.serving();
    if (row.path !== undefined) {
      expect((await rawGet(`${started.httpUrl}${row.path}`)).status).toBe(200);
    } else {
      using client = new GrpcClient(started.grpcUrl);
      expect(await client.checkHealth()).toBe("SERVING");
    }
  });

  testRows(ENDING_ROWS, async ({ exits, prints, lastsMs = 0, ...row }) => {
    const startedAt = performance.now();
    await using started = await run(row);
    const exitCode = await started.container.exited();
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(lastsMs);
    expect([exitCode, started.container.output.trim()]).toEqual([exits, expect.stringMatching(prints)]);
  });
});

describe("properties of the image", () => {
  testRows(PROPERTY_ROWS, ({ property, has }) => {
    expect(JSON.stringify(image[property])).toContain(has);
  });
});
