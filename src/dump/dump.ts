import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { withConfigFile } from "../config/file.ts";
import {
  MANAGEMENT_TOKEN,
  readManagementAddress,
  readManagementToken,
  toLocalHost,
} from "../config/groups/listeners.ts";
import { findSetting } from "../config/options.ts";
import {
  ConfigError,
  displayUrl,
  type Environment,
  type GivenConfig,
  HTTP_URL,
  invalidValue,
  isHttpUrl,
  Settings,
} from "../config/settings.ts";
import { describeErrno, UserError } from "../platform/errors.ts";
import { ask, DumpError, type DumpedRelay, readText, save } from "./download.ts";

/** A file that the relay offers. */
interface Offered {
  readonly id: string;
  /** Masked. */
  readonly key: string;
  readonly api_version: string;
}

/** The names of files are made by the relay, and must not lead out of the folder. */
const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$/;

/**
 * Writes what a relay holds to files, one for each feed, and prints a line for each. Returns false if not all could be written. Throws a
 * {@link UserError} if nothing can be.
 */
export async function runDump(
  given: GivenConfig,
  env: Environment,
  print: (text: string) => void,
): Promise<boolean> {
  const relay = await findRelay(given, env);
  const folder = given.values.get("out") ?? ".";
  const offered = await list(relay);
  if (offered.length === 0) throw new DumpError(`the relay at ${relay.url} holds no config specs yet`);
  await createFolder(folder);
  let [files, bytes] = [0, 0];
  for (const each of offered) {
    const written = await dumpOne(relay, each, folder, `${files} of ${offered.length} files were written`);
    const shown = `${each.key} ${each.api_version}`;
    if (written === undefined) {
      print(`skipped ${shown}: the relay no longer holds it`);
      continue;
    }
    files++;
    bytes += written.bytes;
    print(`${join(folder, each.id)}: ${shown}, lcut ${written.lcut}, ${written.bytes} bytes`);
  }
  print(
    `${files} files with ${bytes} bytes from ${relay.url}; to serve them: offline --bootstrap-path ${folder}`,
  );
  return files === offered.length;
}

/** Throws {@link ConfigError}. */
async function findRelay(given: GivenConfig, env: Environment): Promise<DumpedRelay> {
  const settings = new Settings(findSetting(await withConfigFile(given, env), env));
  const management = readManagementAddress(settings);
  const from = given.values.get("from");
  if (from !== undefined && !isHttpUrl(from)) throw invalidValue("--from", from, HTTP_URL);
  if (from === undefined && management === undefined) {
    throw new ConfigError("dump needs the management port of the relay: set --management-port, or --from");
  }
  const token = readManagementToken(env);
  if (token === undefined) {
    throw new ConfigError(`dump requires ${MANAGEMENT_TOKEN}, the token that the relay was started with`);
  }
  const local = management && `http://${toLocalHost(management.bindAddress)}:${management.port}`;
  return { url: displayUrl(from ?? local ?? ""), token };
}

async function list(relay: DumpedRelay): Promise<readonly Offered[]> {
  try {
    const response = await ask(relay, "/v1/config_specs");
    const text = await readText(response);
    const problem = describeStatus(relay, response.statusCode ?? 0);
    if (problem !== undefined) throw new DumpError(problem);
    const { config_specs: offered } = JSON.parse(text) as { readonly config_specs: readonly Offered[] };
    if (offered.every(({ id }) => SAFE_NAME.test(id))) return offered;
    throw new DumpError(`the relay at ${relay.url} sent a file name that is not safe`);
  } catch (error) {
    if (error instanceof SyntaxError) throw new DumpError(`what responds at ${relay.url} is no relay`);
    throw describeFailure(error, relay);
  }
}

/** Returns undefined if the relay no longer holds the feed. */
async function dumpOne(
  relay: DumpedRelay,
  { id }: Offered,
  folder: string,
  progress: string,
): Promise<{ readonly bytes: number; readonly lcut: string } | undefined> {
  try {
    const response = await ask(relay, `/v1/config_specs/${id}`);
    if (response.statusCode === 404) {
      response.resume();
      return undefined;
    }
    const problem = describeStatus(relay, response.statusCode ?? 0);
    if (problem !== undefined) throw new DumpError(problem);
    const lcut = String(response.headers["x-since-time"] ?? "unknown");
    return { bytes: await save(response, folder, id), lcut };
  } catch (error) {
    throw new DumpError(`${describeFailure(error, relay, join(folder, id)).message}; ${progress}`);
  }
}

function describeStatus({ url }: DumpedRelay, status: number): string | undefined {
  switch (status) {
    case 200:
      return undefined;
    case 401:
      return `the relay at ${url} rejects the token: ${MANAGEMENT_TOKEN} is not the one that it was started with`;
    case 403:
      return `the operator API of the relay at ${url} is turned off: start the relay with ${MANAGEMENT_TOKEN}`;
    case 404:
      return `what responds at ${url} cannot dump: it is an older relay, or not the management port of one`;
    default:
      return `the relay at ${url} responded with HTTP ${status}`;
  }
}

const FILE_ERRORS = new Set(["ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EISDIR", "ENOENT", "ENOTDIR"]);

function describeFailure(error: unknown, { url }: DumpedRelay, path = ""): UserError {
  if (error instanceof UserError) return error;
  const { code = "" } = error as NodeJS.ErrnoException;
  if (path !== "" && FILE_ERRORS.has(code))
    return new DumpError(`cannot write ${path}: ${describeErrno(error)}`);
  if (code === "ECONNREFUSED") {
    return new DumpError(`no relay listens at ${url}: start it, or name its management port with --from`);
  }
  return new DumpError(`the relay at ${url} does not respond: ${describeErrno(error)}`);
}

async function createFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new DumpError(`cannot create the folder ${folder}: ${describeErrno(error)}`);
  }
}
