import { spawn } from "node:child_process";
import { basename } from "node:path";

/** Runs npm or bun without output. Rejects with an Error whose message is one line: what is wrong and how to fix it. */
export function runInstaller([command, ...args], cwd, signal) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      signal,
      killSignal: "SIGKILL",
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
      });
    }
    child.once("error", (error) => reject(error.code === "ENOENT" ? notFound(command) : error));
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(findReason(output, command)))));
  });
}

function notFound(command) {
  return new Error(`Cannot find ${command} on PATH: install it and run this again`);
}

const unreachable =
  /\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|\w*CERT\w*|ConnectionRefused|DNSResolveFailed|Timeout) ?/;

function findReason(output, command) {
  if (output.includes("ENOSPC")) return "The disk is full: Bun and the packages need about 600 MB";
  const network = unreachable.exec(output)?.[1];
  if (network !== undefined) {
    return `Cannot reach the npm registry (${network}): check the network, the proxy and \`npm config get registry\``;
  }
  const lines = output
    .split("\n")
    .filter((line) => /error/i.test(line) && !/error (code|errno|syscall)/.test(line));
  return `${basename(command)} install failed: ${(lines[0] ?? output).trim() || "no reason given"}`;
}
