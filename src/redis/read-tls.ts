import { readFileSync } from "node:fs";
import type { RedisEnvironment, Refuse } from "./environment.ts";
import type { RedisTls } from "./options.ts";

const PATHS = {
  REDIS_TLS_CA_PATH: "caPath",
  REDIS_TLS_CERT_PATH: "certPath",
  REDIS_TLS_KEY_PATH: "keyPath",
} as const;

/** Undefined for no TLS. The files are read later; here only whether they can be. */
export function readTls(
  env: RedisEnvironment,
  byUrl: boolean | undefined,
  refuse: Refuse,
): RedisTls | undefined {
  const on = readSwitch(env["REDIS_TLS"], refuse);
  if (on === false && byUrl === true)
    refuse("REDIS_TLS is false and REDIS_URL is rediss://, allowed is one of them");
  const given = Object.entries(PATHS).filter(([name]) => env[name]);
  if (on !== true && byUrl !== true) {
    const [name] = given[0] ?? [];
    if (name !== undefined)
      refuse(`${name} is set and TLS is off, allowed is with REDIS_TLS=true or rediss://`);
    return undefined;
  }
  for (const [has, lacks] of [
    ["REDIS_TLS_CERT_PATH", "REDIS_TLS_KEY_PATH"],
    ["REDIS_TLS_KEY_PATH", "REDIS_TLS_CERT_PATH"],
  ] as const) {
    if (env[has] && !env[lacks]) refuse(`${has} is set without ${lacks}, allowed are both or none`);
  }
  for (const [name] of given) refuseUnreadable(name, env[name] ?? "", refuse);
  return Object.fromEntries(given.map(([name, path]) => [path, env[name]]));
}

function readSwitch(text: string | undefined, refuse: Refuse): boolean | undefined {
  if (!text) return undefined;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return refuse(`REDIS_TLS is "${text}", allowed is true or false`);
}

function refuseUnreadable(name: string, path: string, refuse: Refuse): void {
  try {
    if (readFileSync(path, "utf8").includes("-----BEGIN ")) return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "file is missing" : code === "EACCES" ? "no permission" : String(code);
    refuse(`Cannot read ${name} "${path}": ${reason}`);
  }
  refuse(`${name} is "${path}", allowed is a PEM file`);
}
