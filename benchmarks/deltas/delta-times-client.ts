// Prepares a protobuf version with deltas from earlier ones and without, in turn, and writes what each took.
//   bun delta-times-client.ts <changed entities> <same|different> <rounds>
import { collectGarbage } from "../../src/platform/runtime/bun/threads.ts";
import type { KnownVersions } from "../../src/specs/deltas/compute.ts";
import { prepare } from "../../src/specs/payload/prepare.ts";
import type { PreparedPayload } from "../../src/specs/snapshot.ts";
import { FIRST_LCUT } from "../static-upstream.ts";
import { type DeltaTimes, HISTORY_DEPTH, type Preparing, WARM_UP_ROUNDS } from "./delta-times.ts";
import { ProtoProject, type ProtoVersion, parseChoice } from "./proto-project.ts";

const [changed = "0", choice = "", rounds = "1"] = process.argv.slice(2);
const project = new ProtoProject("secret-bench-deltas", FIRST_LCUT);
const next = () => project.next(Number(changed), parseChoice(choice));

// The newest version is one of them.
let known: KnownVersions = { feed: "bench", depth: HISTORY_DEPTH + 1, histories: [] };
for (let at = 0; at < HISTORY_DEPTH; at++) {
  const { history } = await prepareVersion(next(), known);
  if (history === undefined) throw new Error("a version has no history");
  known = { ...known, histories: [history] };
}

const newest = next();
const without: Preparing[] = [];
const withDeltas: Preparing[] = [];
for (let round = -WARM_UP_ROUNDS; round < Number(rounds); round++) {
  const both = [await measure(undefined), await measure(known)] as const;
  if (round < 0) continue;
  without.push(both[0]);
  withDeltas.push(both[1]);
}
const { deltas = [], history } = await prepareVersion(newest, known);
const result: DeltaTimes = {
  entities: project.entities,
  jsonBytes: project.jsonBytes,
  protoBytes: project.protoBytes,
  fullBytes: newest.statsigBr.length,
  historyBytes: history?.length ?? 0,
  deltaBytes: deltas.map(({ bytes }) => bytes.length),
  bases: deltas.reduce((sum, { bases }) => sum + bases.length, 0),
  without,
  withDeltas,
};
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

async function measure(earlier: KnownVersions | undefined): Promise<Preparing> {
  // As the Worker does after a large payload.
  collectGarbage();
  const before = process.cpuUsage();
  const startedAt = performance.now();
  await prepareVersion(newest, earlier);
  const tookMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(before);
  return { tookMs, cpuMs: (user + system) / 1_000 };
}

async function prepareVersion(
  { statsigBr, lcut }: ProtoVersion,
  earlier: KnownVersions | undefined,
): Promise<PreparedPayload> {
  const result = await prepare({
    raw: {
      // It is freed.
      body: statsigBr.slice(),
      contentEncoding: "statsig-br",
      format: "proto",
      headerLcut: lcut,
      sdkKeyHash: project.sdkKeyHash,
    },
    maxBytes: Number.POSITIVE_INFINITY,
    known: earlier,
  });
  if (result.kind !== "prepared") throw new Error(`the payload was ${result.kind}`);
  if (result.deltaFault !== undefined) throw new Error(`no deltas: ${result.deltaFault}`);
  return result.payload;
}
