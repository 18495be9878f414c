import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { runRelay } from "../support/relay/relay-process.ts";

const TOKEN = "a-token-of-24-characters";

const statusOf = async (url: string, authorization?: string) => {
  const response = await fetch(`${url}/v1/there-is-no-such-path`, {
    method: "POST",
    headers: authorization === undefined ? {} : { authorization },
  });
  return response.status;
};

describe("the operator API", () => {
  test("is off without a token, and says how to turn it on", async () => {
    await using managed = await startManagedRelay();
    const response = await fetch(`${managed.url}/v1/invalidate`, { method: "POST" });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("set SFP_MANAGEMENT_TOKEN");
    expect((await managed.get("/status.json")).status).toBe(200);
  });

  test("rejects other tokens, and logs them with the address of the client", async () => {
    await using managed = await startManagedRelay({ env: { SFP_MANAGEMENT_TOKEN: TOKEN } });
    for (const given of [undefined, "", "Bearer", `Bearer ${TOKEN}x`, TOKEN, `Basic ${TOKEN}`]) {
      expect(await statusOf(managed.url, given)).toBe(401);
    }
    expect(await statusOf(managed.url, `Bearer ${TOKEN}`)).toBe(404);
    expect(await statusOf(managed.url, `bearer  ${TOKEN}`)).toBe(404);
    await eventually(() => expect(managed.relay.output()).toContain("client=127.0.0.1"));
    await eventually(() =>
      expect(managed.relay.output()).toContain("rejected request to the operator API: wrong token"),
    );
    expect(managed.relay.output()).not.toContain(TOKEN);
  });

  test("reads the token again from its file on SIGHUP", async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "sfp-token-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "token");
    await writeFile(path, `${TOKEN}\n`);
    await using managed = await startManagedRelay({ env: { SFP_MANAGEMENT_TOKEN: `@${path}` } });
    expect(await statusOf(managed.url, `Bearer ${TOKEN}`)).toBe(404);
    await writeFile(path, "another-token-of-the-operators");
    managed.relay.signal("SIGHUP");
    await eventually(async () =>
      expect(await statusOf(managed.url, "Bearer another-token-of-the-operators")).toBe(404),
    );
    expect(await statusOf(managed.url, `Bearer ${TOKEN}`)).toBe(401);
  });

  test.each([
    [
      "short",
      "invalid SFP_MANAGEMENT_TOKEN (expected at least 16 visible ASCII characters, or @FILE with them)",
    ],
    ["with a blank in the middle", "invalid SFP_MANAGEMENT_TOKEN"],
    ["@/there/is/none", 'SFP_MANAGEMENT_TOKEN: cannot read "/there/is/none"'],
  ])("a start with the token %p fails", async (token, problem) => {
    const { exitCode, stderr } = await runRelay(["http", "disabled"], { SFP_MANAGEMENT_TOKEN: token });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(problem);
  });
});
