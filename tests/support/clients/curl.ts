import { spawn } from "node:child_process";
import { buffer, text } from "node:stream/consumers";

export interface CurlResponse {
  readonly exitCode: number;
  /** 0 if there was no response. */
  readonly status: number;
  readonly headers: Headers;
  /** As printed by curl: decoded only with `--compressed`. */
  readonly body: Uint8Array;
  readonly stderr: string;
}

const headEnd = Buffer.from("\r\n\r\n");

function parse(output: Buffer): Pick<CurlResponse, "status" | "headers" | "body"> {
  let rest = output;
  for (;;) {
    const end = rest.indexOf(headEnd);
    if (end < 0) return { status: 0, headers: new Headers(), body: rest };
    const [statusLine = "", ...lines] = rest.subarray(0, end).toString("latin1").split("\r\n");
    const status = Number(statusLine.split(" ")[1]);
    rest = rest.subarray(end + headEnd.length);
    // 100 Continue comes before the response.
    if (status < 200) continue;
    const headers = new Headers();
    for (const line of lines)
      headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
    return { status, headers, body: rest };
  }
}

/** Runs the real curl, without its configuration file and without a proxy. */
export async function curl(...args: string[]): Promise<CurlResponse> {
  const child = spawn("curl", ["-q", "-sS", "-i", "-m", "15", "--noproxy", "*", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? -1));
  });
  const [exitCode, output, stderr] = await Promise.all([exit, buffer(child.stdout), text(child.stderr)]);
  return { exitCode, stderr, ...parse(output) };
}
