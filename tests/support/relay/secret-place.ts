import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ACCOUNT_KEY } from "../upstream/blob-storage.ts";
import type { Authority } from "./pki.ts";
import { createSecretKeys, type SecretKeys } from "./secret-keys.ts";
import { SecretSearch } from "./secret-search.ts";

export const random = (name: string) => `${name}-${randomBytes(16).toString("hex")}`;
export const PASSWORD = random("password");
export const PASSPHRASE = random("passphrase");
/** Requested with a trailing character that no SDK key may have. */
export const MALFORMED = random("secret-malformed");

/** Everything that a run needs and produces. */
export interface SecretPlace {
  readonly folder: string;
  readonly backup: string;
  readonly spool: string;
  readonly allowedFile: string;
  readonly caPath: string;
  readonly keys: SecretKeys;
  readonly search: SecretSearch;
  readonly args: readonly string[];
}

export async function createSecretPlace(authority: Authority): Promise<SecretPlace> {
  const folder = await mkdtemp(join(tmpdir(), "sfp-secrets-"));
  const keys = createSecretKeys();
  const at = (name: string) => join(folder, name);
  const { certPath, keyPath } = authority.issue();
  const lines = readFileSync(keyPath, "utf8")
    .split("\n")
    .filter((line) => line.length > 40);
  const inKey = Object.fromEntries(lines.map((line, index) => [`line ${index} of the private key`, line]));
  await mkdir(at("given"));
  await writeFile(at("given/preloaded.txt"), keys.preloaded);
  const { stranger: _, ...allowed } = keys;
  await writeFile(at("given/allowed.txt"), Object.values(allowed).join("\n"));
  const options = {
    "event-spool-path": at("spool"),
    "local-cache-path": at("backup"),
    "preload-sdk-keys": `@${at("given/preloaded.txt")}`,
    "allowed-sdk-keys": `@${at("given/allowed.txt")}`,
    "x509-server-cert-path": certPath,
    "x509-server-key-path": authority.encrypted({ certPath, keyPath }, PASSPHRASE).keyPath,
    "enforce-tls": "false",
    "https-port": "0",
    "grpcs-port": "0",
  };
  return {
    folder,
    backup: at("backup"),
    spool: at("spool"),
    allowedFile: at("given/allowed.txt"),
    caPath: authority.caPath,
    keys,
    search: new SecretSearch({ ...keys, ...inKey, PASSWORD, PASSPHRASE, MALFORMED, ACCOUNT_KEY }),
    args: [
      ...["--debug-logging", "--proxy-id-lists", "--shutdown-grace-in-s", "1"],
      ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
    ],
  };
}
