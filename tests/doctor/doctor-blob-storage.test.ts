import { afterAll, beforeAll, expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { ACCOUNT_KEY, BlobStorageServer } from "../support/upstream/blob-storage.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const [BOTH, ONE, NONE, REJECTED] = ["both", "one", "none", "rejected"].map(
  (name) => `secret-${name}-of-the-doctor`,
) as [string, string, string, string];
let upstream: Upstream;
let storage: BlobStorageServer;
const owned = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = owned.use(await startUpstream());
  storage = owned.use(new BlobStorageServer());
  for (const sdkKey of [BOTH, ONE, NONE, REJECTED]) publishKey(upstream, sdkKey);
  for (const container of ["dcs-v1", "dcs-v2"] as const) storage.put(container, BOTH, { body: "{}" });
  storage.put("dcs-v2", ONE, { body: "{}", lcut: 5 });
  storage.faults.set(REJECTED, { kind: "answer", status: 403, code: "AuthenticationFailed" });
});
afterAll(() => owned.disposeAsync());

const problemsWith = (sdkKeys: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  problemsOf(upstream, sdkKeys.length === 0 ? [] : ["--preload-sdk-keys", sdkKeys.join(",")], {
    ...storage.env,
    ...env,
  });

test("doctor says that the storage answers and which blobs it has, without signature or key", async () => {
  const args = ["doctor", "http", "disabled", "--http-port", "0", "--preload-sdk-keys", `${BOTH},${ONE}`];
  const env = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url, ...storage.env };
  const { exitCode, stdout, stderr } = await runRelay(args, env);
  expect(stdout).toMatch(new RegExp(`^ok +upstream +${storage.url} responds after \\d+ ms$`, "m"));
  expect(stdout).toMatch(/^ok +blob storage +secret-bot\*\w{6}: a blob in dcs-v1 and dcs-v2$/m);
  expect(stdout).toMatch(/^ok +blob storage +secret-one\*\w{6}: a blob in dcs-v2, none in dcs-v1$/m);
  expect(exitCode).toBe(0);
  for (const hidden of [BOTH, ONE, ACCOUNT_KEY, "sig="]) expect(stdout + stderr).not.toContain(hidden);
  for (const query of storage.queries) {
    const signature = query.get("sig");
    if (signature !== null) expect(stdout + stderr).not.toContain(signature);
  }
  // A blob may have megabytes.
  expect(storage.requestsFor(BOTH).toSorted()).toEqual(["HEAD dcs-v1", "HEAD dcs-v2"]);
});

test("a key without a blob", async () => {
  await expectProblem(
    problemsWith([NONE]),
    "blob storage",
    /^secret-non\*\w{6}: no blob in dcs-v1 or dcs-v2; its config specs come from STATSIG_ENDPOINT$/,
    /DCS_BLOB_STORAGE_COMPANY_ID/,
  );
});

test("a storage that rejects the signature", async () => {
  await expectProblem(
    problemsWith([REJECTED]),
    "blob storage",
    /^secret-rej\*\w{6}: Azure Blob Storage answered 403 \(AuthenticationFailed\)$/,
    /AccountKey/,
  );
});

test("a storage whose host does not resolve", async () => {
  const connection = `AccountName=a;AccountKey=${ACCOUNT_KEY};BlobEndpoint=http://nowhere.invalid`;
  const problems = problemsWith([], { DCS_BLOB_STORAGE_CONNECTION_STRING: connection });
  await expectProblem(
    problems,
    "DNS",
    /^nowhere\.invalid does not resolve/,
    /DCS_BLOB_STORAGE_CONNECTION_STRING/,
  );
});

test("a storage that is not listening", async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const connection = `AccountName=a;AccountKey=${ACCOUNT_KEY};BlobEndpoint=${endpoint}`;
  const problems = problemsWith([BOTH], { DCS_BLOB_STORAGE_CONNECTION_STRING: connection });
  await expectProblem(problems, "upstream", /is unreachable/, /DCS_BLOB_STORAGE_CONNECTION_STRING/);
  await expectProblem(problems, "blob storage", /^secret-bot\*\w{6}: /, /the check named upstream/);
});

test("a connection string that cannot be used", async () => {
  await expectProblem(
    problemsWith([BOTH], { DCS_BLOB_STORAGE_CONNECTION_STRING: "AccountName=a" }),
    "blob storage",
    /^not used: DCS_BLOB_STORAGE_CONNECTION_STRING has no AccountKey/,
    /ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS/,
  );
});
