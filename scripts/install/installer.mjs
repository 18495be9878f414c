import { spawn } from "node:child_process";
import { basename } from "node:path";

/**
 * Runs npm or bun and resolves with its standard output. Rejects with an Error whose message is one line: what is wrong and how
 * to fix it.
 */
export function runInstaller([command, ...args], cwd, signal, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      signal,
      env,
      killSignal: "SIGKILL",
      stdio: ["ignore", "pipe", "pipe"],
    });
    const printed = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (text) => {
        printed[name] += text;
      });
    }
    child.once("error", (error) => reject(error.code === "ENOENT" ? notFound(command) : error));
    child.once("close", (code) => {
      if (code === 0) resolve(printed.stdout);
      else reject(new Error(findReason(printed.stderr + printed.stdout, command)));
    });
  });
}

function notFound(command) {
  return new Error(`Cannot find ${command} on PATH: install it and run this again`);
}

const network =
  /\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ConnectionRefused|DNSResolveFailed|Timeout)\b/;
const certificate = /\b(UNABLE_TO_\w+|DEPTH_ZERO_\w+|\w*CERT_\w+)\b/;
const refusal = /\b(401|403|407|E401|E403)\b/;
const notCached = /ENOTCACHED|is not in the cache/;

function findReason(output, command) {
  if (output.includes("ENOSPC")) return "The disk is full: Bun and the packages need about 800 MB";
  if (notCached.test(output)) {
    return "npm is set to offline, and a package is not in the cache: run this once with --no-offline, or copy the folders of `npm config get cache` and `bun pm cache` from a machine that has it";
  }
  const untrusted = certificate.exec(output)?.[1];
  if (untrusted !== undefined) {
    return `The certificate of the npm registry, or of the proxy, is not trusted (${untrusted}): set NODE_EXTRA_CA_CERTS, or npm's cafile, to the PEM file of its CA`;
  }
  const failed = network.exec(output)?.[1];
  if (failed !== undefined) {
    return `Cannot reach the npm registry (${failed}): check the network, the proxy and \`npm config get registry\``;
  }
  const refused = refusal.exec(output)?.[1];
  if (refused !== undefined) {
    return `The npm registry, or the proxy, refuses access (${refused}): check \`npm config get registry\`, the login to it (npm login) and the password of the proxy`;
  }
  const lines = output
    .split("\n")
    .filter((line) => /error/i.test(line) && !/error (code|errno|syscall)/.test(line));
  return `${basename(command)} install failed: ${(lines[0] ?? output).trim() || "no reason given"}`;
}
