import { setTimeout as sleep } from "node:timers/promises";
import { sendRequest } from "#runtime/requests.ts";
import type { RequestOutcome, RequestPlan } from "./request-plan.ts";

// Sends one request by the runtime that runs it.
const plan = JSON.parse(process.argv[2] ?? "") as RequestPlan;

/** The code of an error; of one without a code its name, and of the reason of the signal its text. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error as NodeJS.ErrnoException).code ?? `${error.name} without a code`;
}

async function send({
  url,
  abortAfterMs,
  abortFrom,
  readAfterMs = 0,
  ...options
}: RequestPlan): Promise<RequestOutcome> {
  const aborted = new AbortController();
  const abortLater = () => setTimeout(() => aborted.abort("the reason"), abortAfterMs);
  if (abortAfterMs !== undefined && abortFrom === undefined) abortLater();
  let response: Response;
  try {
    response = await sendRequest(url, { ...options, signal: aborted.signal });
  } catch (error) {
    return { failed: "request", code: codeOf(error) };
  }
  if (abortFrom === "headers") abortLater();
  await sleep(readAfterMs);
  try {
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { failed: "body", code: codeOf(error) };
  }
}

console.log(JSON.stringify(await send(plan)));
process.exit(0);
