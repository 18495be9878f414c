import type { Context } from "hono";
import type { RequestEnv } from "../request-context.ts";

/** Fields of a request to the operator API, as text. */
export type RequestFields = Readonly<Record<string, string>>;

/**
 * Reads the fields of a body: a JSON object with texts, numbers and booleans, or a form as `curl -d name=value` sends it. An empty
 * body has no fields. Returns undefined if the body is neither, does not come whole, or is a form that has a field twice.
 */
export async function readFields({ req }: Context<RequestEnv>): Promise<RequestFields | undefined> {
  const text = await req.text().catch(() => undefined);
  if (text === undefined) return undefined;
  if (text.trim() === "") return {};
  if (!text.trimStart().startsWith("{")) return readForm(text);
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

/** Returns undefined if a field has two values, since either could be the one that is meant. */
function readForm(text: string): RequestFields | undefined {
  const form = new URLSearchParams(text);
  const fields = Object.fromEntries(form);
  return Object.keys(fields).length === form.size ? fields : undefined;
}
