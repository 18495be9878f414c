import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { requestToken, type TokenOutcome } from "../../src/redis/auth/entra.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { type AuthorityAnswer, TokenAuthority } from "../support/redis/token-authority.ts";

const never = new AbortController().signal;

async function askOnce(answer: AuthorityAnswer): Promise<TokenOutcome> {
  await using authority = new TokenAuthority();
  authority.answer = answer;
  return await requestToken(authority.entra, systemClock, never);
}

const answer = (status: number, body: unknown, location?: string): AuthorityAnswer => ({
  kind: "answer",
  status,
  body: typeof body === "string" ? body : JSON.stringify(body),
  ...(location !== undefined && { location }),
});

describe("A request for an access token", () => {
  test("is the client credentials grant of Microsoft Entra ID", async () => {
    await using authority = new TokenAuthority();
    const outcome = await requestToken(authority.entra, systemClock, never);
    expect(outcome).toEqual({ kind: "token", token: authority.tokens[0] ?? "", lifeMs: 3_600_000 });
    expect(authority.requests).toEqual([
      {
        method: "POST",
        path: "/tenant-1/oauth2/v2.0/token",
        type: "application/x-www-form-urlencoded;charset=UTF-8",
        form: {
          grant_type: "client_credentials",
          client_id: "client-1",
          client_secret: "s3cret&=é",
          scope: "api://redis/.default",
        },
      },
    ]);
  });

  test.each<[string, AuthorityAnswer, string]>([
    [
      "a rejected secret",
      answer(401, {
        error: "invalid_client",
        error_description: "AADSTS7000215: Invalid client secret s3cret&=é provided.",
      }),
      "the authority answered 401: invalid_client, AADSTS7000215",
    ],
    ["an error page", answer(500, "<html>s3cret&=é"), "the authority answered 500"],
    [
      "a redirect",
      answer(302, "", "http://127.0.0.1:1/s3cret"),
      "the authority redirects (302), which is not followed: correct REDIS_OAUTH_AUTHORITY_HOST",
    ],
    [
      "a redirect that keeps the body",
      answer(308, "", "http://127.0.0.1:1/"),
      "the authority redirects (308), which is not followed: correct REDIS_OAUTH_AUTHORITY_HOST",
    ],
    ["garbage", answer(200, "OK"), "the answer of the authority is not a JSON object"],
    ["an array", answer(200, "[1]"), "the authority answered without an access token"],
    [
      "an endless body",
      answer(200, "x".repeat(1_000_000)),
      "the answer of the authority is not a JSON object",
    ],
    ["no token", answer(200, { expires_in: 3_600 }), "the authority answered without an access token"],
    [
      "a blank token",
      answer(200, { access_token: " ", expires_in: 3_600 }),
      "the authority answered without an access token",
    ],
    ["no life", answer(200, { access_token: "t" }), "the authority answered without the life of the token"],
    [
      "a life that is no number",
      answer(200, { access_token: "t", expires_in: "soon" }),
      "the authority answered without the life of the token",
    ],
    [
      "a short life",
      { kind: "token", lifeS: 119 },
      "the token of the authority lives for 119 s (expected at least 120 s)",
    ],
    [
      "a negative life",
      { kind: "token", lifeS: -5 },
      "the token of the authority lives for 0 s (expected at least 120 s)",
    ],
  ])("fails with %s, which is described without secrets", async (_, given, reason) => {
    expect(await askOnce(given)).toEqual({ kind: "failed", reason });
  });

  test.each([
    [120, 120],
    [86_400, 86_400],
    [1e18, 86_400],
  ])("a life of %p s counts as %p s", async (lifeS, counted) => {
    expect(await askOnce({ kind: "token", lifeS })).toMatchObject({ kind: "token", lifeMs: counted * 1_000 });
  });

  test("accepts the life as text, as older endpoints send it", async () => {
    const outcome = await askOnce(answer(200, { access_token: "t", expires_in: "3599" }));
    expect(outcome).toEqual({ kind: "token", token: "t", lifeMs: 3_599_000 });
  });

  test("fails if nothing listens", async () => {
    const authority = `http://127.0.0.1:${await freePort()}`;
    const entra = { authority, tenantId: "t", clientId: "c", clientSecret: "s", scope: "x" };
    expect(await requestToken(entra, systemClock, never)).toEqual({
      kind: "failed",
      reason: "no answer from the authority: connection refused",
    });
  });

  test("fails after 10 s without an answer, and rejects when it is aborted", async () => {
    await using authority = new TokenAuthority();
    authority.answer = { kind: "silence" };
    const clock = new FakeClock();
    const asked = requestToken(authority.entra, clock, never);
    await eventually(() => expect(authority.requests).toHaveLength(1));
    await clock.advance(10_000);
    expect(await asked).toEqual({ kind: "failed", reason: "no answer from the authority within 10 s" });
    const stop = new AbortController();
    const stopped = requestToken(authority.entra, clock, stop.signal).catch((error: Error) => error.message);
    stop.abort(new Error("stopped"));
    expect(await stopped).toBe("stopped");
    expect(clock.sleeping).toBe(0);
  });
});
