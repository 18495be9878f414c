import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type ApiAnswer,
  cpu,
  FakeCloudProfilerApi,
  refusal,
  retryInfo,
} from "../support/profiling/cloud-profiler-api.ts";
import { cloudEnvironment, FORCED } from "../support/profiling/cloud-relay.ts";
import { FakeMetadataServer } from "../support/profiling/metadata-server.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { runRelay } from "../support/relay/run-relay.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const owned = new AsyncDisposableStack();
let upstream: Upstream;
let metadata: FakeMetadataServer;

beforeAll(async () => {
  upstream = owned.use(await startUpstream());
  metadata = owned.use(await FakeMetadataServer.start());
});
afterAll(() => owned.disposeAsync());

const NAME = "cloud profiler";

/** Returns the problems that doctor finds if Cloud Profiler answers so. Without an answer, it waits. */
async function problemsFor(answer?: ApiAnswer) {
  await using api = await FakeCloudProfilerApi.start();
  if (answer !== undefined) api.answer(answer);
  const problems = await problemsOf(upstream, [FORCED], cloudEnvironment(api, metadata));
  expect(api.violations).toEqual([]);
  expect(api.uploads).toEqual([]);
  return problems.filter(({ name }) => name === NAME);
}

test.each<[string, ApiAnswer | undefined]>([
  ["holds the request", undefined],
  ["wants a profile", cpu()],
  ["says that it is another replica's turn", refusal(409, "ABORTED", [retryInfo("30s")])],
])("a Cloud Profiler that %s is no problem", async (_, answer) => {
  expect(await problemsFor(answer)).toEqual([]);
});

test("a missing role, an API that is off and a server that fails are named with what to do", async () => {
  const denied = (reason: string) => refusal(403, "PERMISSION_DENIED", [{ reason }]);
  await expectProblem(
    problemsFor(denied("IAM_PERMISSION_DENIED")),
    NAME,
    /403: PERMISSION_DENIED/,
    /^grant roles\/cloudprofiler\.agent to relay@machine-project\.iam\S+ in project machine-project$/,
  );
  await expectProblem(
    problemsFor(denied("SERVICE_DISABLED")),
    NAME,
    /SERVICE_DISABLED/,
    /^enable cloudprofiler/,
  );
  await expectProblem(problemsFor({ kind: "hang-up" }), NAME, /connection closed/, /reaches/);
});

test("an address that does not answer is not taken for one that holds the request", async () => {
  await using silent = await FakeMetadataServer.start();
  silent.isSilent = true;
  await using api = await FakeCloudProfilerApi.start();
  const env = { ...cloudEnvironment(api, metadata), SFP_GCP_PROFILER_ENDPOINT: `http://${silent.host}` };
  await expectProblem(problemsOf(upstream, [FORCED], env), NAME, /no answer within 5 s/, /reaches/);
});

test("credentials and the project are named, or what is missing", async () => {
  await using api = await FakeCloudProfilerApi.start();
  const env = { ...cloudEnvironment(api, metadata), STATSIG_ENDPOINT: upstream.url };
  const args = ["doctor", "http", "disabled", "--http-port", "0"];
  const { stdout } = await runRelay([...args, FORCED, "--gcp-profiler-service", "edge"], env);
  expect(stdout).toContain(
    "service edge in project machine-project, token for relay@machine-project.iam.gserviceaccount.com from the metadata server",
  );
  expect((await runRelay(args, env)).stdout).toMatch(
    /SKIPPED +cloud profiler +--force-gcp-profiling-enabled is not set/,
  );
  const nowhere = problemsOf(upstream, [FORCED], cloudEnvironment(api, undefined));
  await expectProblem(nowhere, NAME, /^no credentials/, /GOOGLE_APPLICATION_CREDENTIALS/);
});
