import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseImage } from "../../scripts/release/image-registry.ts";
import { freePort } from "../support/common/free-port.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-pin-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const digestOf = (text: string) => `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;

/** A registry that, like public ones, wants a token that it gives without a login. */
async function startRegistry(tags: Record<string, string>) {
  const server = Bun.serve({
    // No other server gets it once this one has stopped.
    port: await freePort(),
    hostname: "127.0.0.1",
    fetch(request, { port }) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/token") return Response.json({ token: `for ${searchParams.get("scope")}` });
      const [, repository, tag] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(pathname) ?? [];
      const scope = `repository:${repository}:pull`;
      if (request.headers.get("authorization") !== `Bearer for ${scope}`) {
        const challenge = `Bearer realm="http://127.0.0.1:${port}/token",service="registry",scope="${scope}"`;
        return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
      }
      const digest = tags[`${repository}:${tag}`];
      const isIndex = request.headers.get("accept")?.includes("image.index");
      if (digest === undefined || !isIndex) return new Response(null, { status: 404 });
      return new Response(null, { headers: { "docker-content-digest": digest } });
    },
  });
  return { host: `127.0.0.1:${server.port}`, tags, [Symbol.dispose]: () => server.stop(true) };
}

async function pin(dockerfile: string, ...args: string[]) {
  const file = join(folder, "Dockerfile");
  writeFileSync(file, dockerfile);
  const script = fileURLToPath(new URL("../../scripts/pin-images.ts", import.meta.url));
  const env = { ...process.env, HTTP_PROXY: "", http_proxy: "" };
  const child = Bun.spawn([process.execPath, script, "--file", file, ...args], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr, dockerfile: readFileSync(file, "utf8") };
}

const written = (host: string, [node, base] = ["", ""]) => `# FROM nothing
FROM --platform=$BUILDPLATFORM ${host}/library/node:22-slim${node} AS build
RUN true
FROM build AS more
FROM ${host}/distroless/base:nonroot${base}
`;

describe("npm run pin-images", () => {
  test("adds the digest of each base image, and follows the tag when it is run again", async () => {
    const [first, second, base] = ["1", "2", "base"].map(digestOf);
    using registry = await startRegistry({
      "library/node:22-slim": String(first),
      "distroless/base:nonroot": String(base),
    });
    const pinned = await pin(written(registry.host));
    expect([pinned.exitCode, pinned.stderr]).toEqual([0, ""]);
    expect(pinned.dockerfile).toBe(written(registry.host, [`@${first}`, `@${base}`]));
    expect(pinned.stdout).toContain(`${registry.host}/library/node:22-slim@${first}\n`);
    expect(await pin(pinned.dockerfile, "--check")).toMatchObject({ exitCode: 0, stderr: "" });
    registry.tags["library/node:22-slim"] = String(second);
    const checked = await pin(pinned.dockerfile, "--check");
    expect([checked.exitCode, checked.dockerfile]).toEqual([1, pinned.dockerfile]);
    expect(checked.stderr).toContain("is not pinned to these digests: run npm run pin-images");
    const again = await pin(pinned.dockerfile);
    expect(again.dockerfile).toBe(written(registry.host, [`@${second}`, `@${base}`]));
  });

  test("changes nothing if the registry lacks a tag, gives no digest or is not there", async () => {
    using registry = await startRegistry({
      "library/node:22-slim": digestOf("1"),
      "distroless/base:nonroot": "?",
    });
    const noDigest = await pin(written(registry.host));
    expect([noDigest.exitCode, noDigest.dockerfile]).toEqual([1, written(registry.host)]);
    expect(noDigest.stderr).toContain("/v2/distroless/base/manifests/nonroot gives no digest");
    delete registry.tags["distroless/base:nonroot"];
    expect((await pin(written(registry.host))).stderr).toContain("/manifests/nonroot responds 404");
    const { host } = registry;
    registry[Symbol.dispose]();
    const gone = await pin(written(host));
    expect([gone.exitCode, gone.stderr]).toEqual([
      1,
      expect.stringContaining(`cannot reach http://${host}/v2/`),
    ]);
    expect(gone.dockerfile).toBe(written(host));
  });

  test.each([
    ["node:22", "registry-1.docker.io", "library/node"],
    ["prom/prometheus:22", "registry-1.docker.io", "prom/prometheus"],
    ["gcr.io/distroless/base:22", "gcr.io", "distroless/base"],
    ["localhost:5000/a/b:22", "localhost:5000", "a/b"],
  ])("asks the right registry for %s", (name, registry, repository) => {
    expect(parseImage(name)).toEqual({ registry, repository, tag: "22" });
  });

  test("refuses an image without a tag", () => {
    expect(() => parseImage("node")).toThrow("node has no tag");
  });
});
