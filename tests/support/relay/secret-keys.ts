import { randomBytes } from "node:crypto";
import { publishKey } from "../upstream/published-key.ts";
import { body, startUpstream, status, type Upstream } from "../upstream/upstream.ts";
import { answer, jsonAnswer, type UpstreamRequest } from "../upstream/upstream-request.ts";

/** Part of the URLs of ID lists at upstream. Anyone who has it may read the file. */
export const SIGNATURE = `signature-${randomBytes(16).toString("hex")}`;

/** The ways in which an SDK key may be used. */
const FATES = [
  "held",
  "preloaded",
  "denied",
  "failing",
  "garbled",
  "redirected",
  "reset",
  "waiting",
  "dropped",
  "stranger",
] as const;

export type SecretKeys = Readonly<Record<(typeof FATES)[number], string>>;

export const createSecretKeys = (): SecretKeys =>
  Object.fromEntries(
    FATES.map((fate) => [fate, `secret-${fate}-${randomBytes(16).toString("hex")}`]),
  ) as SecretKeys;

/** An upstream that returns the full keys wherever it can: in errors, headers, bodies that are not JSON, and URLs. */
export async function startTalkativeUpstream(keys: SecretKeys): Promise<Upstream> {
  const upstream = await startUpstream();
  for (const key of [keys.held, keys.preloaded]) publishKey(upstream, key);
  const of = (key: string, path = "") => ({
    when: (request: UpstreamRequest) =>
      request.path.includes(path) &&
      (request.url.includes(key) || request.headers["statsig-api-key"] === key),
  });
  const says = (code: number, key: string) =>
    status(code, `no good: ${key}`, { "x-key": key, "retry-after": key, "content-type": key });
  upstream.misbehave(says(401, keys.denied), of(keys.denied));
  upstream.misbehave(says(500, keys.failing), of(keys.failing));
  upstream.misbehave(body(`{"${keys.garbled}": ${keys.garbled}`, { etag: keys.garbled }), of(keys.garbled));
  const elsewhere = `http://user:${keys.redirected}@127.0.0.1:1/${keys.redirected}`;
  upstream.misbehave(status(302, "", { location: elsewhere }), of(keys.redirected));
  upstream.misbehave({ kind: "reset" }, of(keys.reset));
  upstream.misbehave(says(500, keys.waiting), of(keys.waiting, "/log_event"));
  upstream.misbehave(says(403, keys.dropped), of(keys.dropped, "/log_event"));
  upstream.misbehave(
    { kind: "edit", edit: () => jsonAnswer(manifestOf(upstream.url)) },
    of(keys.held, "/get_id_lists"),
  );
  upstream.misbehave(
    { kind: "edit", edit: () => answer(200, LINES) },
    { when: ({ path }) => path === `/lists/good/${SIGNATURE}` },
  );
  return upstream;
}

const LINES = "+aaaaaaaa\n+bbbbbbbb\n";

/** A manifest of two lists. Only the first one has a file. */
function manifestOf(url: string) {
  const entry = (name: string) => ({
    name,
    url: `${url}/lists/${name}/${SIGNATURE}`,
    fileID: `file-${name}`,
    size: LINES.length,
    creationTime: 1_700_000_000_000,
  });
  return { good: entry("good"), missing: entry("missing") };
}
