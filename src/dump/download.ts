import { once } from "node:events";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { Agent, type IncomingMessage, type RequestOptions, request } from "node:http";
import { request as requestSecurely, Agent as SecureAgent } from "node:https";
import { join } from "node:path";
import { EXIT_FAILED, UserError } from "../platform/errors.ts";

/** The relay that is asked for its config specs. */
export interface DumpedRelay {
  /** The URL of its management port, without a trailing slash. */
  readonly url: string;
  readonly token: string;
}

/** The relay may send nothing for this long. */
const SILENCE_LIMIT_MS = 30_000;

const AGENTS = { "http:": new Agent({ keepAlive: true }), "https:": new SecureAgent({ keepAlive: true }) };

/** A dump that cannot be completed. */
export class DumpError extends UserError {
  constructor(message: string) {
    super(message, EXIT_FAILED);
  }
}

/** Sends a request to the operator API. Unlike `fetch`, it never uses a proxy of the environment. Rejects with an error of the network. */
export async function ask({ url, token }: DumpedRelay, path: string): Promise<IncomingMessage> {
  const isSecure = url.startsWith("https:");
  const options: RequestOptions = {
    agent: AGENTS[isSecure ? "https:" : "http:"],
    headers: { authorization: `Bearer ${token}` },
    timeout: SILENCE_LIMIT_MS,
  };
  const sent = (isSecure ? requestSecurely : request)(`${url}${path}`, options);
  sent.on("timeout", () => sent.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response;
}

const MAX_TEXT_BYTES = 64 * 1024 * 1024;

export async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > MAX_TEXT_BYTES) throw new DumpError("the relay sent an endless list");
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Writes the body of a response to a file in a folder, which appears whole or not at all. Only the user of this process can read it.
 * Resolves with the number of bytes. Rejects with an error of the network or of the file system.
 */
export async function save(response: IncomingMessage, folder: string, name: string): Promise<number> {
  const partial = join(folder, `.${name}.${process.pid}.partial`);
  try {
    const file = await open(partial, "w", 0o600);
    const written = await fill(file, response).finally(() => file.close());
    await rename(partial, join(folder, name));
    return written;
  } catch (error) {
    response.destroy();
    await rm(partial, { force: true }).catch(() => {});
    throw error;
  }
}

/** One chunk is in memory at a time. */
async function fill(file: FileHandle, response: IncomingMessage): Promise<number> {
  let written = 0;
  for await (const chunk of response) {
    await file.writeFile(chunk as Buffer);
    written += (chunk as Buffer).length;
  }
  const announced = Number(response.headers["content-length"]);
  if (written !== announced) throw new DumpError(`the relay sent ${written} of ${announced} bytes`);
  await file.sync();
  return written;
}
