import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { IdListUpstream } from "../support/id-lists/id-list-upstream.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-events-of-the-doctor";
const PRELOAD = ["--preload-sdk-keys", KEY];
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
  publishKey(upstream, KEY);
});
afterAll(() => upstream[Symbol.asyncDispose]());

/** An endpoint for log events that responds with one status, and what it received. */
function startEvents(status: number) {
  const bodies: unknown[] = [];
  const keys: (string | null)[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      if (new URL(request.url).pathname !== "/v1/log_event") return new Response("");
      keys.push(request.headers.get("statsig-api-key"));
      bodies.push(await request.json());
      return new Response("{}", { status });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    bodies,
    keys,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

async function linesOf(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const all = ["doctor", "http", "disabled", "--http-port", "0", ...PRELOAD, ...args];
  const urls = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  return await runRelay(all, { ...urls, ...env });
}

describe("doctor checks the endpoint of log events with each preloaded key", () => {
  test("by a batch without events", async () => {
    using events = startEvents(202);
    const { stdout, exitCode } = await linesOf({ LOG_EVENT_STATSIG_ENDPOINT: events.url });
    expect(stdout).toMatch(/^ok +log events +secret-eve\*\w{6}: http\S+ responds 202 to an empty batch/m);
    expect(exitCode).toBe(0);
    expect(events.keys).toEqual([KEY]);
    expect(events.bodies).toEqual([expect.objectContaining({ events: [] })]);
  });

  test("also if upstream is another relay", async () => {
    await using relay = await startRelayProcess({ upstream, mode: "http" });
    const { stdout, exitCode } = await linesOf({ LOG_EVENT_STATSIG_ENDPOINT: relay.httpUrl });
    expect(stdout).toMatch(/^ok +log events +secret-eve\*\w{6}: /m);
    expect(exitCode).toBe(0);
    expect(upstream.count(/log_event/)).toBe(0);
  });

  test.each([
    [401, /responds 401 .*: it rejects the key$/, /server SDK key .*LOG_EVENT_STATSIG_ENDPOINT/],
    [404, /responds 404 .*: it does not take log events$/, /correct LOG_EVENT_STATSIG_ENDPOINT/],
    [302, /responds 302 .*: it does not take log events$/, /correct LOG_EVENT_STATSIG_ENDPOINT/],
    [503, /responds 503 to an empty batch of log events$/, /retry later/],
  ])("and reports the status %d", async (status, detail, fix) => {
    using events = startEvents(status);
    const problems = problemsOf(upstream, PRELOAD, { LOG_EVENT_STATSIG_ENDPOINT: events.url });
    await expectProblem(problems, "log events", detail, fix);
  });

  test("and says what it cannot know", async () => {
    using events = startEvents(400);
    const { stdout, exitCode } = await linesOf({ LOG_EVENT_STATSIG_ENDPOINT: events.url });
    expect(stdout).toMatch(/^SKIPPED +log events .*400 .*whether events are accepted is unknown$/m);
    expect(exitCode).toBe(0);
  });

  test("and reports an endpoint that does not listen", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const problems = problemsOf(upstream, PRELOAD, { LOG_EVENT_STATSIG_ENDPOINT: url });
    await expectProblem(
      problems,
      "log events",
      /unreachable for log events: connection refused/,
      /LOG_EVENT_/,
    );
  });
});

describe("doctor checks ID lists with each preloaded key", () => {
  const env = (lists: IdListUpstream) => ({ STATSIG_ENDPOINT: lists.url });

  test("by the manifest, and one byte of a file of each host", async () => {
    await using lists = new IdListUpstream();
    lists.put(KEY, "one", "+abcdefgh\n+ijklmnop\n");
    lists.put(KEY, "two", "+abcdefgh\n");
    const { stdout } = await linesOf(env(lists));
    expect(stdout).toMatch(/^ok +ID lists +secret-eve\*\w{6}: 2 ID lists$/m);
    expect(stdout).toMatch(/^ok +ID lists +127\.0\.0\.1:\d+ serves files of ID lists$/m);
    const files = lists.requests.filter(({ path }) => path.startsWith("/files/"));
    expect(files.map(({ range }) => range)).toEqual([expect.stringMatching(/^bytes=\d+-$/)]);
  });

  test("and reports a host that serves no files: a failure only if the relay fetches them", async () => {
    await using lists = new IdListUpstream();
    lists.put(KEY, "one", "+abcdefgh\n");
    lists.fault = ({ path }) => (path.startsWith("/files/") ? new Response("", { status: 403 }) : undefined);
    const reported = async (args: readonly string[]) => {
      const problems = problemsOf(upstream, [...PRELOAD, ...args], env(lists));
      await expectProblem(
        problems,
        "ID lists",
        /serves no file of an ID list: upstream answered 403/,
        /firewall/,
      );
      return (await problems).find(({ name }) => name === "ID lists")?.state;
    };
    expect(await reported([])).toBe("warning");
    expect(await reported(["--id-list-file-refresh-observer-enabled"])).toBe("failed");
  });

  test("and reports an upstream without ID lists, or with an invalid manifest", async () => {
    await using lists = new IdListUpstream();
    lists.fault = () => new Response("", { status: 404 });
    const missing = problemsOf(upstream, PRELOAD, env(lists));
    await expectProblem(
      missing,
      "ID lists",
      /no manifest of ID lists: upstream answered 404/,
      /STATSIG_ENDPOINT/,
    );
    lists.fault = () => new Response("<html>");
    const invalid = problemsOf(upstream, PRELOAD, env(lists));
    await expectProblem(
      invalid,
      "ID lists",
      /invalid manifest of ID lists: not valid JSON/,
      /STATSIG_ENDPOINT/,
    );
  });
});
