import { sendRequest } from "#runtime/requests.ts";
import { abortAfter } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import { readBoundedText } from "../../platform/content/bounded-text.ts";
import { parseJson } from "../../platform/content/json.ts";
import { describeNetworkError } from "../../platform/network-errors.ts";
import type { EntraOptions } from "../options.ts";

/** What the authority answered. No text of it may contain the client secret or the token. */
export type TokenOutcome =
  | { readonly kind: "token"; readonly token: string; readonly lifeMs: number }
  | { readonly kind: "failed"; readonly reason: string };

const REQUEST_LIMIT_MS = 10_000;

/** A token of Entra ID takes 1 to 3 KiB. */
const MAX_RESPONSE_BYTES = 64 * 1024;

/** A shorter life leaves no time to renew the token before Redis closes connections because of it. */
const MIN_LIFE_S = 120;

/** Longer lives are not trusted. Tokens of Entra ID live for an hour or a day. */
const MAX_LIFE_S = 24 * 3_600;

/**
 * Requests an access token by the client credentials grant (RFC 6749, section 4.4) at the v2.0 endpoint of Microsoft Entra ID. Every
 * failure is a value: the promise rejects only when `signal` is aborted.
 */
export async function requestToken(
  options: EntraOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<TokenOutcome> {
  const limit = new AbortController();
  const limited = AbortSignal.any([signal, limit.signal]);
  abortAfter(limit, REQUEST_LIMIT_MS, clock);
  try {
    return await exchange(options, limited);
  } catch (error) {
    signal.throwIfAborted();
    if (limit.signal.aborted)
      return failed(`no answer from the authority within ${REQUEST_LIMIT_MS / 1_000} s`);
    return failed(`no answer from the authority: ${describeNetworkError(error)}`);
  } finally {
    limit.abort();
  }
}

async function exchange(options: EntraOptions, signal: AbortSignal): Promise<TokenOutcome> {
  const { authority, tenantId, clientId, clientSecret, scope } = options;
  const response = await sendRequest(`${authority}/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
      scope,
    }),
    headers: { accept: "application/json" },
    // The request contains the client secret, which must not be sent to another host.
    redirect: "manual",
    signal,
  });
  const { status } = response;
  if (status >= 300 && status < 400) {
    await response.body?.cancel();
    return failed(
      `the authority redirects (${status}), which is not followed: correct REDIS_OAUTH_AUTHORITY_HOST`,
    );
  }
  const text = await readBoundedText(response, MAX_RESPONSE_BYTES);
  const answer = text === undefined ? undefined : parseObject(text);
  if (status !== 200) return failed(`the authority answered ${status}${describeRefusal(answer)}`);
  return answer === undefined
    ? failed("the answer of the authority is not a JSON object")
    : readToken(answer);
}

function readToken(answer: Readonly<Record<string, unknown>>): TokenOutcome {
  const { access_token: token, expires_in: expires } = answer;
  if (typeof token !== "string" || token.trim() === "")
    return failed("the authority answered without an access token");
  const lifeS = typeof expires === "string" && /^\d+$/.test(expires) ? Number(expires) : expires;
  if (typeof lifeS !== "number" || Number.isNaN(lifeS))
    return failed("the authority answered without the life of the token");
  if (lifeS < MIN_LIFE_S) {
    return failed(
      `the token of the authority lives for ${Math.max(0, Math.floor(lifeS))} s (expected at least ${MIN_LIFE_S} s)`,
    );
  }
  return { kind: "token", token, lifeMs: Math.min(lifeS, MAX_LIFE_S) * 1_000 };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = parseJson(text);
  return typeof value === "object" && value !== null ? { ...value } : undefined;
}

/**
 * Returns the error code of the answer and that of Entra ID, which its documentation explains. The description beside them is not
 * shown: it might repeat the request.
 */
function describeRefusal(answer: Readonly<Record<string, unknown>> | undefined): string {
  const { error, error_description: description } = answer ?? {};
  const code = typeof error === "string" && /^[a-z_]{1,40}$/.test(error) ? error : undefined;
  const [entraCode] = /\bAADSTS\d{1,10}\b/.exec(String(description ?? "")) ?? [];
  const codes = [code, entraCode].filter((each) => each !== undefined);
  return codes.length === 0 ? "" : `: ${codes.join(", ")}`;
}

function failed(reason: string): TokenOutcome {
  return { kind: "failed", reason };
}
