import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { request as requestSecurely } from "node:https";
import { type Answer, answerOf } from "./answer.ts";

/** Of a body that says why a relay is not ready. */
const MAX_BODY_CHARACTERS = 64 * 1024;

/** Asks a readiness path. Through no proxy, whatever the environment says: `fetch` would take it. */
export async function askHttp(url: string, signal: AbortSignal): Promise<Answer> {
  try {
    const asked = ask(url, signal);
    asked.end();
    const [response] = (await once(asked, "response", { signal })) as [IncomingMessage];
    if (response.statusCode === 200) return { kind: "ready" };
    const reason = reasonIn(await textOf(response)) ?? `it answers ${response.statusCode}`;
    return { kind: "not_ready", reason };
  } catch (error) {
    return answerOf(error);
  }
}

// Nothing secret is said or believed: a certificate that is for another name, or was just replaced, must not make a
// relay that serves look dead.
function ask(url: string, signal: AbortSignal): ClientRequest {
  const options = { signal, agent: false, headers: { connection: "close" } } as const;
  return url.startsWith("https:")
    ? requestSecurely(url, { ...options, rejectUnauthorized: false })
    : request(url, options);
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    text += chunk;
    if (text.length > MAX_BODY_CHARACTERS) break;
  }
  return text;
}

/** As the management port and the port of clients say it. */
function reasonIn(text: string): string | undefined {
  try {
    const { reason, reasons } = JSON.parse(text) as { reason?: unknown; reasons?: unknown };
    if (typeof reason === "string") return reason;
    return Array.isArray(reasons) ? reasons.map(String).join("; ") : undefined;
  } catch {
    return undefined;
  }
}
