import { expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { cpu, heap, refusal, retryInfo } from "../support/profiling/cloud-profiler-api.ts";
import { type CloudRelay, startCloudRelay } from "../support/profiling/cloud-relay.ts";
import { decodePprof, framesOf, totalOf } from "../support/profiling/decoded-profile.ts";
import { HTTP_CLIENTS, startLoad } from "../support/profiling/profiled-relay.ts";

const PATIENT = { withinMs: 20_000 };

/** Resolves when the relay waits for Google to want a profile. */
const untilHeld = ({ api }: Pick<CloudRelay, "api">) => eventually(() => expect(api.held).toBe(1), PATIENT);

test("takes the profiles that Google asks for, uploads each under its name, and asks for the next", async () => {
  await using cloud = await startCloudRelay();
  const { relay, api, metadata } = cloud;
  await untilHeld(cloud);
  {
    await using _load = await startLoad(Array<string>(HTTP_CLIENTS).fill(`${relay.httpUrl}/v1/health`));
    api.answer(cpu("2s"));
    await eventually(() => expect(api.uploads).toHaveLength(1), PATIENT);
  }
  await eventually(() => expect(api.creates).toHaveLength(2), PATIENT);
  api.answer(heap);
  await eventually(() => expect(api.uploads).toHaveLength(2), PATIENT);

  expect(api.violations).toEqual([]);
  expect(metadata.refused).toBe(0);
  expect([...metadata.scopes]).toEqual(["https://www.googleapis.com/auth/monitoring.write"]);
  const [{ project, profileType, deployment, token }] = api.creates as [(typeof api.creates)[number]];
  expect({ project, profileType, token }).toEqual({
    project: "machine-project",
    profileType: ["CPU", "HEAP"],
    token: metadata.token,
  });
  const { version = "", ...labels } = deployment.labels;
  expect({ ...deployment, labels }).toEqual({
    projectId: "machine-project",
    target: "statsig-forward-proxy",
    labels: { language: "go", zone: "europe-west1-b" },
  });
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  expect(api.uploads.map(({ labels: own, name }) => ({ own, name }))).toEqual([
    { own: { instance: "relay-7f9c" }, name: "projects/machine-project/profiles/profile-1" },
    { own: { instance: "relay-7f9c" }, name: "projects/machine-project/profiles/profile-2" },
  ]);

  const [first, second] = api.uploads.map(({ bytes }) => decodePprof(bytes));
  if (first === undefined || second === undefined) throw new Error("an upload is missing");
  expect(first.sampleTypes).toEqual([
    ["samples", "count"],
    ["cpu", "nanoseconds"],
  ]);
  expect(second.sampleTypes).toEqual([
    ["objects", "count"],
    ["space", "bytes"],
  ]);
  // Functions of the relay itself, by their names: also in the executable, whose code is minified. Samples may miss any single one.
  expect([...framesOf(first, "http")].join("\n")).toMatch(/\w{4,} src\/http\//);
  expect(first.durationMs).toBeGreaterThanOrEqual(1_990);
  expect(totalOf(first, "value")).toBeGreaterThan(10_000_000);
  expect(totalOf(second, "value")).toBeGreaterThan(10_000_000);
  expect(relay.output()).toMatch(
    /Google Cloud Profiler turned on turned_on_by=flag.* project=machine-project/,
  );
  await eventually(() => expect(relay.output()).toMatch(/first profile uploaded profile=cpu/));
}, 60_000);

test("names and projects come from Cloud Run, from variables and from options, in this order of strength", async () => {
  const env = {
    K_SERVICE: "edge-relay",
    K_REVISION: "edge-relay-00042",
    GOOGLE_CLOUD_PROJECT: "named-project",
  };
  await using run = await startCloudRelay({ env });
  await using given = await startCloudRelay({
    env,
    args: ["--gcp-profiler-service", "mine", "--gcp-profiler-project", "given-project"],
  });
  await using engine = await startCloudRelay({
    env: {
      K_SERVICE: "Not a name",
      GAE_SERVICE: "engine-relay",
      GAE_VERSION: "20261129t1",
      GCP_PROJECT: "older-name",
    },
  });
  await Promise.all([untilHeld(run), untilHeld(given), untilHeld(engine)]);
  const shown = ({ api }: CloudRelay) =>
    api.creates.map(({ project, deployment }) => [project, deployment.target]);
  expect(shown(run)).toEqual([["named-project", "edge-relay"]]);
  expect(shown(given)).toEqual([["given-project", "mine"]]);
  expect(shown(engine)).toEqual([["older-name", "engine-relay"]]);
  const version = ({ api }: CloudRelay) => api.creates[0]?.deployment.labels["version"];
  expect([version(run), version(engine)]).toEqual(["edge-relay-00042", "20261129t1"]);
});

test("a machine without zone and name has no such labels", async () => {
  await using cloud = await startCloudRelay({}, { zone: undefined, name: undefined });
  await untilHeld(cloud);
  cloud.api.answer(cpu());
  await eventually(() => expect(cloud.api.uploads).toHaveLength(1), PATIENT);
  expect(Object.keys(cloud.api.creates[0]?.deployment.labels ?? {}).sort()).toEqual(["language", "version"]);
  expect(cloud.api.uploads[0]?.labels).toEqual({});
});

test("while it is another replica's turn, it waits as long as Google says, without a problem on the status page", async () => {
  await using cloud = await startCloudRelay();
  const { api, status } = cloud;
  await untilHeld(cloud);
  const answeredAt = performance.now();
  api.answer(refusal(409, "ABORTED", [retryInfo("1.5s")]));
  await eventually(() => expect(api.creates).toHaveLength(2), PATIENT);
  expect(performance.now() - answeredAt).toBeGreaterThan(1_400);
  const { sinks, problems } = await status();
  expect(sinks).toEqual([{ name: "gcp-profiler", state: "ok", since: null, reason: null }]);
  expect(problems).toEqual([]);
});

test("a token that Google rejects is replaced at once", async () => {
  await using cloud = await startCloudRelay();
  const { api, metadata, relay } = cloud;
  await untilHeld(cloud);
  metadata.token = "ya29.second";
  api.accepted.add(metadata.token);
  api.answer(cpu());
  await eventually(() => expect(api.uploads).toHaveLength(1), PATIENT);
  expect(api.uploads[0]?.token).toBe("ya29.second");
  expect(relay.output()).not.toContain("export failing");
});

test("a missing role is named with the account, once, and the relay serves", async () => {
  await using cloud = await startCloudRelay();
  const { api, relay, status } = cloud;
  await untilHeld(cloud);
  const reason = { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "IAM_PERMISSION_DENIED" };
  api.answer(refusal(403, "PERMISSION_DENIED", [reason, retryInfo("0.2s")]));
  await eventually(() => expect(api.creates).toHaveLength(2), PATIENT);
  api.answer(refusal(403, "PERMISSION_DENIED", [reason, retryInfo("0.2s")]));
  await eventually(() => expect(api.creates).toHaveLength(3), PATIENT);
  const detail =
    "Cloud Profiler answered 403: PERMISSION_DENIED, IAM_PERMISSION_DENIED; grant roles/cloudprofiler.agent to relay@machine-project.iam.gserviceaccount.com in project machine-project";
  await eventually(() => expect(relay.output()).toContain(detail), PATIENT);
  expect(relay.output().split("profile export failing")).toHaveLength(2);
  expect((await status()).sinks).toMatchObject([{ name: "gcp-profiler", state: "failing", reason: detail }]);
  api.answer(refusal(409, "ABORTED", [retryInfo("60s")]));
  await eventually(() => expect(relay.output()).toContain("profile export recovered"), PATIENT);
});

test("without the flag, neither Google nor the metadata server is asked", async () => {
  await using cloud = await startCloudRelay({ isForced: false });
  // A relay that starts later and has the flag has asked by then.
  await using control = await startCloudRelay();
  await untilHeld(control);
  expect(cloud.api.creates).toEqual([]);
  expect(cloud.metadata.asked).toEqual([]);
});

test("a relay that waits for Google, or takes a profile, does not use the grace period to stop", async () => {
  // More than the stop may take here.
  const args = ["--shutdown-grace-in-s", "60", "--debug-endpoints"];
  await using waiting = await startCloudRelay({ args });
  await using profiling = await startCloudRelay({ args });
  await Promise.all([untilHeld(waiting), untilHeld(profiling)]);
  profiling.api.answer(cpu("60s"));
  await eventually(async () => {
    const response = await fetch(`${profiling.url}/debug/heap`, { method: "POST" });
    await response.arrayBuffer();
    expect(response.status).toBe(409);
  }, PATIENT);
  const codes = await Promise.all([waiting.relay.stop(), profiling.relay.stop()]);
  expect(codes).toEqual([0, 0]);
  expect(profiling.relay.output()).not.toContain("unexpected");
  await eventually(() => expect(waiting.api.cancelled).toBe(1));
  expect(profiling.api.uploads).toEqual([]);
});
