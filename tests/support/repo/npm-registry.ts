import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Pem } from "../relay/pki.ts";

/** A package to publish: its manifest, and its other files as path -> content, or as path -> a file of this machine. */
export interface Published {
  readonly manifest: { readonly name: string; readonly version: string; readonly [field: string]: unknown };
  readonly files?: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
}

export interface RegistryOptions {
  readonly tls?: Pem;
  /** Requests without this bearer token are answered 401. */
  readonly token?: string;
}

interface Stored {
  readonly manifest: Published["manifest"];
  readonly tarball: Uint8Array<ArrayBuffer>;
}

/** An npm registry on loopback. */
export class NpmRegistry implements AsyncDisposable {
  /** Paths that were requested, in order. */
  readonly seen: string[] = [];
  readonly #stored = new Map<string, Stored>();
  readonly #token: string | undefined;
  readonly #server: Bun.Server<undefined>;

  constructor(packages: readonly Published[], { tls, token }: RegistryOptions = {}) {
    this.#token = token;
    for (const each of packages) {
      this.#stored.set(each.manifest.name, { manifest: each.manifest, tarball: packTarball(each) });
    }
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      ...(tls && { tls: { cert: tls.cert, key: tls.key } }),
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return this.#server.url.href;
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  /** Returns the hash of a package's tarball, as a lock file has it. */
  integrityOf(name: string): string {
    const stored = this.#stored.get(name);
    if (stored === undefined) throw new Error(`no package ${name}`);
    return `sha512-${new Bun.CryptoHasher("sha512").update(stored.tarball).digest("base64")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #answer(request: Request): Response {
    const { pathname, origin } = new URL(request.url);
    this.seen.push(pathname);
    if (this.#token !== undefined && request.headers.get("authorization") !== `Bearer ${this.#token}`) {
      return new Response(null, { status: 401 });
    }
    const [name = "", rest] = decodeURIComponent(pathname.slice(1)).split("/-/");
    const stored = this.#stored.get(name);
    if (stored === undefined) return Response.json({ error: "not found" }, { status: 404 });
    if (rest !== undefined) return new Response(stored.tarball);
    const { manifest } = stored;
    const { version } = manifest;
    const tarball = `${origin}/${name}/-/${name.split("/").at(-1)}-${version}.tgz`;
    const dist = { tarball, integrity: this.integrityOf(name) };
    return Response.json({
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { ...manifest, dist } },
    });
  }
}

function packTarball({ manifest, files = {}, links = {} }: Published): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), "sfp-package-"));
  try {
    const place = (path: string) => {
      const full = join(folder, "package", path);
      mkdirSync(dirname(full), { recursive: true });
      return full;
    };
    writeFileSync(place("package.json"), JSON.stringify(manifest));
    for (const [path, content] of Object.entries(files)) writeFileSync(place(path), content, { mode: 0o755 });
    for (const [path, target] of Object.entries(links)) symlinkSync(target, place(path));
    // --dereference packs the files that the links point to. The fastest compression, since a package may be the Bun that runs this.
    const packed = spawnSync("tar", ["--dereference", "-I", "gzip -1", "-cf", "package.tgz", "package"], {
      cwd: folder,
    });
    if (packed.status !== 0) throw new Error(packed.stderr.toString());
    return new Uint8Array(readFileSync(join(folder, "package.tgz")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
