import { describe, expect, test } from "bun:test";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import type { DoctorResult } from "../support/relay/doctor.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { specV2 } from "../support/upstream/payloads.ts";

const KEY = "secret-checked-by-doctor";
const LCUT = 1_700_000_000_000;

async function check(args: readonly string[]): Promise<readonly DoctorResult[]> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--bind-address", "127.0.0.1"];
  const env = { STATSIG_ENDPOINT: "http://127.0.0.1:1", LOG_EVENT_STATSIG_ENDPOINT: "" };
  const { stdout } = await runRelay(["doctor", "--json", ...ports, ...args], env);
  return (JSON.parse(stdout) as { readonly checks: readonly DoctorResult[] }).checks;
}

const ofFiles = (results: readonly DoctorResult[]) =>
  results.filter(({ name }) => name === "bootstrap files").map(({ state, detail }) => `${state}: ${detail}`);

describe("doctor checks the files of --bootstrap-path", () => {
  test("offline, and nothing that needs Statsig", async () => {
    using folder = new SpecFolder();
    folder.write("a.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    folder.write("b.json", "Unauthorized");
    const keys = `${KEY},secret-without-a-file`;
    const results = await check(["--offline", "--bootstrap-path", folder.path, "--preload-sdk-keys", keys]);
    expect(ofFiles(results)).toEqual([
      "ok: 1 of 2 files can be served",
      expect.stringMatching(/^warning: b\.json: it is not a JSON object/),
      expect.stringMatching(/^ok: secret-che\*[0-9a-f]{6}: a file for v2$/),
      expect.stringMatching(/^failed: secret-wit\*[0-9a-f]{6}: no file has its config specs$/),
    ]);
    const names = results.map(({ name }) => name);
    for (const name of ["DNS", "proxy", "upstream", "blob storage", "SDK keys", "clock"]) {
      expect(names).not.toContain(name);
    }
  });

  test("nothing to serve is a failure offline, and else a warning", async () => {
    using folder = new SpecFolder();
    const offline = await check(["--offline", "--bootstrap-path", folder.path]);
    expect(ofFiles(offline)).toEqual([
      expect.stringMatching(/^failed: nothing to serve in --bootstrap-path/),
    ]);
    const online = await check(["http", "disabled", "--bootstrap-path", folder.path]);
    expect(ofFiles(online)).toEqual([
      expect.stringMatching(/^warning: nothing to serve in --bootstrap-path/),
    ]);
    expect(ofFiles(await check(["http", "disabled"]))).toEqual(["skipped: --bootstrap-path is not set"]);
  });
});
