import { describe, expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";
import { answer as answerOf } from "../support/upstream/upstream-request.ts";

const PATIENT = { withinMs: 15_000 };
const shared = shareRelay();
const ask = (sdkKey: string, relay = shared.relay) =>
  rawGet(`${relay.httpUrl}/v1/download_config_specs/${sdkKey}.json`);

const timesOf = (upstream: Upstream, sdkKey: string): number[] =>
  upstream.requests.filter(forKey(sdkKey).when).map(({ atMs }) => atMs);

describe.concurrent("Upstream requests: 401 and 403 mean unauthorized, by status alone", () => {
  test.each([401, 403])("%d with any body", async (code) => {
    for (const text of ["", "OK", '{"has_updates":false}', "temporarily unavailable"]) {
      const sdkKey = `secret-${code}-${text.length}`;
      shared.upstream.misbehave(status(code, text), forKey(sdkKey));
      const answer = await ask(sdkKey);
      expect([answer.status, answer.body.toString()]).toEqual([401, "Unauthorized"]);
    }
  });

  test.each([401, 403])("%d for a cached key, which is still served", async (code) => {
    const sdkKey = `secret-held-${code}`;
    const { v1 } = publishKey(shared.upstream, sdkKey);
    await ask(sdkKey);
    shared.upstream.misbehave(status(code), forKey(sdkKey));
    await eventually(() => expect(timesOf(shared.upstream, sdkKey).length).toBeGreaterThan(2), PATIENT);
    const answer = await ask(sdkKey);
    expect([answer.status, answer.body.toString()]).toEqual([200, v1]);
  });

  test.each([401, 403])("%d for a cached key, with --clear-datastore-on-unauthorized: 401", async (code) => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream, args: ["--clear-datastore-on-unauthorized"] });
    publishKey(upstream, "secret-revoked");
    publishKey(upstream, "secret-valid");
    await ask("secret-revoked", relay);
    await ask("secret-valid", relay);
    upstream.misbehave(status(code), forKey("secret-revoked"));
    await eventually(async () => expect((await ask("secret-revoked", relay)).status).toBe(401), PATIENT);
    expect((await ask("secret-valid", relay)).status).toBe(200);
  });
});

const failures = [
  ...[400, 404, 405, 408, 410, 418, 429, 500, 501, 502, 503, 504, 520].map((code) => ({ code, text: "" })),
  ...[404, 500, 502].flatMap((code) => [
    { code, text: "Unauthorized" },
    { code, text: '{"error":"unauthorized","status":401}' },
  ]),
].map((each, number) => ({ ...each, number }));

describe.concurrent("Upstream requests: any other status than 2xx is a failure, not a 401", () => {
  test.each(failures)("$code with text '$text'", async ({ code, text, number }) => {
    const [unseen, held] = [`secret-unseen-${number}`, `secret-seen-${number}`];
    for (const sdkKey of [unseen, held]) publishKey(shared.upstream, sdkKey);
    const first = await ask(held);
    for (const sdkKey of [unseen, held]) shared.upstream.misbehave(status(code, text), forKey(sdkKey));
    expect((await ask(unseen)).status).toBe(503);
    await eventually(() => expect(timesOf(shared.upstream, held).length).toBeGreaterThanOrEqual(3), PATIENT);
    const after = await ask(held);
    expect([after.status, after.body.toString()]).toEqual([200, first.body.toString()]);
  });

  test.each([301, 302, 307, 308])("%d: a redirect is not followed", async (code) => {
    const sdkKey = `secret-redirected-${code}`;
    publishKey(shared.upstream, sdkKey);
    const location = `${shared.upstream.url}/v1/download_config_specs/${sdkKey}.json?moved`;
    const { when } = forKey(sdkKey);
    shared.upstream.misbehave(status(code, "", { location }), {
      when: (request) => when(request) && !request.query.has("moved"),
    });
    expect((await ask(sdkKey)).status).toBe(503);
    expect(shared.upstream.requests.filter(({ query }) => query.has("moved"))).toHaveLength(0);
  });

  test.each([204, 206])("%d with an empty body: neither specs nor a 401", async (code) => {
    const sdkKey = `secret-empty-${code}`;
    shared.upstream.misbehave(status(code), forKey(sdkKey));
    expect((await ask(sdkKey)).status).toBe(503);
  });
});

describe.concurrent("Upstream requests: Retry-After is honored", () => {
  const waitMs = 3_000;
  const rows = [
    { code: 429, form: "seconds", header: () => String(waitMs / 1_000) },
    { code: 503, form: "seconds", header: () => String(waitMs / 1_000) },
    // An HTTP date has no fractions: one second more, so that at least the full wait is left.
    { code: 503, form: "a date", header: () => new Date(Date.now() + waitMs + 1_000).toUTCString() },
  ];

  test.each(rows)(
    "$code with $form: not asked again sooner",
    async ({ code, form, header }) => {
      const sdkKey = `secret-retry-after-${code}-${form.length}`;
      const { v1 } = publishKey(shared.upstream, sdkKey);
      await ask(sdkKey);
      // The date is counted from the poll, however late that comes.
      const refused: Fault = { kind: "edit", edit: () => answerOf(code, "", { "retry-after": header() }) };
      shared.upstream.misbehave(refused, { ...forKey(sdkKey), times: 1 });
      const times = () => timesOf(shared.upstream, sdkKey);
      await eventually(() => expect(times().length).toBeGreaterThanOrEqual(3), { withinMs: 25_000 });
      const [, refusedAt = 0, nextAt = 0] = times();
      expect(nextAt - refusedAt).toBeGreaterThanOrEqual(waitMs - 50);
      expect((await ask(sdkKey)).body.toString()).toBe(v1);
    },
    30_000,
  );
});
