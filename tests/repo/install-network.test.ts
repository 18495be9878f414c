import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { DockerfileParser, type ModifiableInstruction } from "dockerfile-ast";
import { testsWith } from "../support/common/needs.ts";
import { DOCKERFILE } from "../support/deploy/final-image.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { NpmRegistry } from "../support/repo/npm-registry.ts";
import { SMALL_PACKAGES, SmallClone } from "../support/repo/small-clone.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

/** A host that does not exist: only the proxy reaches it. */
const HOST = "registry.test";
const TOKEN = "secret-of-the-registry";
const NOTHING_LISTENS = "http://127.0.0.1:1";

const owned = new AsyncDisposableStack();
let authority: Authority;
let registry: NpmRegistry;
let proxy: OutboundProxy;

beforeAll(async () => {
  authority = owned.use(new Authority());
  const tls = pemOf(authority.issue({ altNames: `DNS:${HOST},DNS:localhost` }));
  registry = owned.use(new NpmRegistry(SMALL_PACKAGES, { tls, token: TOKEN }));
  proxy = owned.use(await OutboundProxy.start({ isLoopbackOnly: true }));
});
afterAll(() => owned.disposeAsync());

const hidden = () => `https://${HOST}:${registry.port}/`;
const local = () => `https://localhost:${registry.port}/`;
const login = (url: string) => `${url.replace("https:", "")}:_authToken=${TOKEN}`;
const inOneLine = (path: string) => JSON.stringify(readFileSync(path, "utf8"));

/** Where the settings are -> the settings, and the variables. */
const SETTINGS: Readonly<
  Record<string, (clone: SmallClone) => { npmrc: string[]; path?: string; env?: Record<string, string> }>
> = {
  "npm's global file": ({ folder }) => ({
    path: "global-npmrc",
    env: { npm_config_globalconfig: `${folder}/global-npmrc` },
    npmrc: [
      `registry=${hidden()}`,
      login(hidden()),
      `https-proxy=${proxy.url}`,
      `cafile=${authority.caPath}`,
    ],
  }),
  "the user's file, with `proxy` and `ca`": () => ({
    path: "home/.npmrc",
    npmrc: [
      `registry=${hidden()}`,
      login(hidden()),
      `proxy=${proxy.url}`,
      `ca=${inOneLine(authority.caPath)}`,
    ],
  }),
  "the project's file": () => ({
    path: ".npmrc",
    npmrc: [
      `registry=${hidden()}`,
      login(hidden()),
      `https-proxy=${proxy.url}`,
      `cafile=${authority.caPath}`,
    ],
  }),
  "variables, with the login in the user's file": () => ({
    path: "home/.npmrc",
    npmrc: [login(hidden()).replace(TOKEN, `$${"{REGISTRY_TOKEN}"}`)],
    env: {
      REGISTRY_TOKEN: TOKEN,
      npm_config_registry: hidden(),
      HTTPS_PROXY: proxy.url,
      NODE_EXTRA_CA_CERTS: authority.caPath,
    },
  }),
  "npm's settings, which come before the variables": () => ({
    path: "home/.npmrc",
    npmrc: [
      `registry=${hidden()}`,
      login(hidden()),
      `https-proxy=${proxy.url}`,
      `cafile=${authority.caPath}`,
    ],
    env: { HTTPS_PROXY: NOTHING_LISTENS, https_proxy: NOTHING_LISTENS },
  }),
};

/** Returns the steps of the Dockerfile that may install packages: their scripts, and their mounts. */
function installingSteps() {
  return DockerfileParser.parse(readFileSync(DOCKERFILE, "utf8"))
    .getInstructions()
    .filter((each) => each.getKeyword() === "RUN")
    .map((each) => ({
      script: each.getRawArgumentsContent() ?? "",
      flags: (each as ModifiableInstruction).getFlags().map((flag) => flag.getValue()),
    }))
    .filter(({ script }) => script.includes("with-bun.mjs"));
}

describe("an installation behind a proxy and a registry with a private CA", () => {
  test.each(Object.entries(SETTINGS))(
    "works with %s",
    async (_, settingsOf) => {
      using clone = new SmallClone(registry);
      const { npmrc, path = ".npmrc", env = {} } = settingsOf(clone);
      clone.write(path, `${npmrc.join("\n")}\n`);
      const [seenBefore, tunnelsBefore] = [registry.seen.length, proxy.seen.length];
      expect(await clone.run("src/main.ts", env)).toEqual({
        code: 0,
        output: expect.stringContaining("runs with needed"),
      });
      // npm fetches Bun, and Bun the package. Both used the proxy, since nothing else knows the host.
      const tarballs = registry.seen.slice(seenBefore).filter((path) => path.endsWith(".tgz"));
      expect(tarballs.sort()).toEqual([
        `/@oven/bun/-/bun-${Bun.version}.tgz`,
        `/bun/-/bun-${Bun.version}.tgz`,
        "/small-dependency/-/small-dependency-1.0.0.tgz",
      ]);
      expect(new Set(proxy.seen.slice(tunnelsBefore))).toEqual(new Set([`CONNECT ${HOST}:${registry.port}`]));
    },
    120_000,
  );

  test("works in a step of the Dockerfile, with its secrets", async () => {
    using clone = new SmallClone(registry);
    clone.write("scripts/command.ts", 'console.log("runs")');
    // The file of the builder's user, with a path that does not exist in the container.
    const npmrc = [`registry=${hidden()}`, login(hidden()), "cafile=/home/user/ca.pem"];
    const [home, ca] = ["/root/.npmrc", "/run/secrets/ca"];
    const steps = installingSteps();
    expect(steps).toHaveLength(2);
    for (const { flags } of steps) {
      expect(flags).toEqual([`type=secret,id=npmrc,target=${home}`, "type=secret,id=ca"]);
    }
    clone.write("home/.npmrc", `${npmrc.join("\n")}\n`);
    const script = steps[0]?.script.replaceAll(ca, authority.caPath) ?? "";
    expect(script).toContain(authority.caPath);
    expect(await clone.runShell(script, { HTTPS_PROXY: proxy.url })).toEqual({
      code: 0,
      output: expect.stringMatching(/\nruns\n$/),
    });
  }, 120_000);

  test.each(["npm's noproxy", "NO_PROXY"])(
    "avoids the proxy for the hosts in %s",
    async (place) => {
      using clone = new SmallClone(registry);
      const settings = [`registry=${local()}`, login(local()), `cafile=${authority.caPath}`];
      const env: Record<string, string> = { HTTPS_PROXY: NOTHING_LISTENS };
      if (place === "NO_PROXY") env["NO_PROXY"] = "localhost";
      else settings.push("noproxy=localhost");
      clone.write("home/.npmrc", `${settings.join("\n")}\n`);
      expect((await clone.run("src/main.ts", env)).output).toContain("runs with needed");
    },
    120_000,
  );
});

describe.concurrent("an installation that fails", () => {
  const failures: readonly (readonly [string, () => readonly string[], Record<string, string>, RegExp])[] = [
    [
      "an unknown CA",
      () => [`registry=${local()}`, login(local())],
      {},
      /^with-bun: The certificate of the npm registry, or of the proxy, is not trusted \(\w+\): set NODE_EXTRA_CA_CERTS/m,
    ],
    [
      "a missing login",
      () => [`registry=${local()}`, `cafile=${authority.caPath}`],
      {},
      /^with-bun: The npm registry, or the proxy, refuses access \(E?401\): check `npm config get registry`/m,
    ],
    [
      "a proxy that does not listen",
      () => [`registry=${local()}`, login(local()), `cafile=${authority.caPath}`],
      { HTTPS_PROXY: NOTHING_LISTENS },
      /^with-bun: Cannot reach the npm registry \(ECONNREFUSED\): check the network, the proxy/m,
    ],
    [
      "an empty cache with npm's `offline`",
      () => [`registry=${local()}`, "offline=true"],
      {},
      /^with-bun: npm is set to offline, and a package is not in the cache: run this once with --no-offline/m,
    ],
  ];

  test.each(failures)(
    "says what to do about %s",
    async (_, settings, env, message) => {
      using clone = new SmallClone(registry);
      clone.write("home/.npmrc", `${settings().join("\n")}\n`);
      const { code, output } = await clone.run("src/main.ts", env);
      expect(output).toMatch(message);
      expect(code).toBe(1);
    },
    120_000,
  );
});
