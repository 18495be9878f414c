import type { Context } from "hono";
import type { RequestEnv } from "../request-context.ts";

/** Fields of a request to the operator API, as text. */
export type RequestFields = Readonly<Record<string, string>>;

/**
 * Reads the fields of a body: a JSON object with texts, numbers and booleans, or a form as `curl -d name=value` sends it. An empty
 * body has no fields. Returns undefined if the body is neither.
 */
export async function readFields({ req }: Context<RequestEnv>): Promise<RequestFields | undefined> {
  const text = await req.text();
  if (text.trim() === "") return {};
  if (!text.trimStart().startsWith("{")) return Object.fromEntries(new URLSearchParams(text));
  try {
    const entries = Object.entries(JSON.parse(text) as object).map(([name, value]) => {
      if (typeof value === "object") throw new TypeError(`${name} is not a single value`);
      return [name, String(value)] as const;
    });
    return Object.fromEntries(entries);
  } catch {
    return undefined;
  }
}
