import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { runInstaller } from "./installer.mjs";

const publicRegistry = "https://registry.npmjs.org/";

/** Returns the command that runs the npm that runs this script, or else the one on the PATH. */
export function npmCommand() {
  const current = process.env.npm_execpath ?? "";
  return basename(current) === "npm-cli.js" ? [process.execPath, current] : ["npm"];
}

/**
 * Calls `action` with the environment and the flags that make `bun install` use npm's registry, login, proxy, certificates and
 * cache mode. Bun reads only some of them: of npm's files, those of the user and of the project.
 */
export async function withNpmConfig(root, signal, action) {
  const listed = await runInstaller([...npmCommand(), "config", "ls", "--json"], root, signal);
  const config = JSON.parse(listed);
  const folder = mkdtempSync(join(tmpdir(), "sfp-npm-config-"));
  try {
    const env = { ...process.env, ...proxyVariables(config) };
    // The default does not override a registry that only Bun is set to.
    if (config.registry !== publicRegistry) env.npm_config_registry = config.registry;
    const flags = cacheFlags(config);
    const certificates = readCertificates(config);
    if (certificates !== "") {
      const cafile = join(folder, "ca.pem");
      writeFileSync(cafile, certificates);
      flags.push("--cafile", cafile);
    }
    if (config["strict-ssl"] === false) env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    env.npm_config_userconfig = join(folder, "npmrc");
    // It may contain passwords.
    writeFileSync(env.npm_config_userconfig, readSettings(config), { mode: 0o600 });
    return await action(env, flags);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// npm uses its own settings before the variables, and one proxy for both schemes. Bun prefers the names in lower case.
function proxyVariables(config) {
  const proxy = config["https-proxy"] || config.proxy;
  const without = [config.noproxy].flat().filter(Boolean).join(",");
  return {
    ...(proxy && { http_proxy: proxy, https_proxy: proxy, HTTP_PROXY: proxy, HTTPS_PROXY: proxy }),
    ...(without && { no_proxy: without, NO_PROXY: without }),
  };
}

/**
 * Returns the certificates of npm's `ca` and `cafile` as one PEM text, with those of NODE_EXTRA_CA_CERTS, which Bun does not read
 * beside a `cafile`. Returns an empty string if npm has none of its own, or if its `cafile` does not exist: npm ignores that too.
 */
function readCertificates({ ca, cafile }) {
  const own = [ca, readIfExists(cafile)].flat().filter(Boolean);
  return own.length === 0 ? "" : [...own, readIfExists(process.env.NODE_EXTRA_CA_CERTS)].join("\n");
}

/**
 * Returns the settings of npm's global file and of the user's; of two lines for one setting, the last one counts. Certificates are
 * left out: Bun fails if the file does not exist.
 */
function readSettings({ globalconfig, userconfig }) {
  const lines = [globalconfig, userconfig].flatMap((file) => readIfExists(file).split("\n"));
  return `${lines.filter((line) => !/^\s*ca(file|\[\])?\s*=/.test(line)).join("\n")}\n`;
}

function cacheFlags(config) {
  if (config.offline) return ["--offline"];
  return config["prefer-offline"] ? ["--prefer-offline"] : [];
}

function readIfExists(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // npm and Bun also ignore a file that cannot be read.
    return "";
  }
}
