import type { Bench, Part, PartResult } from "../bench.ts";
import { asIndependentClients } from "../prepare/probing.ts";
import type { RelayProgram } from "../relay-program.ts";
import { quantile } from "../statistics.ts";
import { count, megabytes, ms, ratio, type Table } from "../table.ts";
import { type AttackCase, measureUnderAttack, type UnderAttack } from "./under-attack.ts";

const IDLE_CONNECTIONS = 5_000;
const SLOW_CONNECTIONS = 1_000;
const FRAMES_PER_S = 2_000;
/** Rate for headers of the maximum size. */
const LARGE_FRAMES_PER_S = 500;
const AS_FAST_AS_IT_CAN = 1_000_000;

const slow = (attack: AttackCase["attack"], protocol: AttackCase["protocol"]): AttackCase => ({
  attack,
  protocol,
  connections: SLOW_CONNECTIONS,
  perSecond: 2,
});

const steady = (
  attack: AttackCase["attack"],
  protocol: AttackCase["protocol"] = "grpc",
  perSecond = FRAMES_PER_S,
): AttackCase => ({ attack, protocol, connections: 2, perSecond });

const flatOut = (attack: AttackCase["attack"], protocol: AttackCase["protocol"] = "grpc"): AttackCase => ({
  attack,
  protocol,
  connections: 4,
  perSecond: AS_FAST_AS_IT_CAN,
});

const CASES: readonly AttackCase[] = [
  { attack: "idle", protocol: "http", connections: IDLE_CONNECTIONS, perSecond: 1 },
  { attack: "idle", protocol: "grpc", connections: IDLE_CONNECTIONS, perSecond: 1 },
  slow("slow request", "http"),
  slow("slow request", "https"),
  slow("slow preface", "grpc"),
  slow("slow HEADERS", "grpc"),
  steady("pipelining", "http"),
  steady("rapid reset"),
  steady("rapid reset", "https"),
  steady("CONTINUATION flood"),
  steady("SETTINGS flood"),
  steady("PING flood"),
  steady("WINDOW_UPDATE flood"),
  steady("header bomb", "grpc", LARGE_FRAMES_PER_S),
  steady("large headers", "grpc", LARGE_FRAMES_PER_S),
];

/** Attacks on the HTTP/2 ports that send as fast as they can. */
const FLAT_OUT: readonly AttackCase[] = (
  [
    "rapid reset",
    "CONTINUATION flood",
    "SETTINGS flood",
    "PING flood",
    "WINDOW_UPDATE flood",
    "header bomb",
    "large headers",
  ] as const
).flatMap((attack) => [flatOut(attack), flatOut(attack, "https")]);

interface Measured extends AttackCase, UnderAttack {
  readonly program: RelayProgram;
  /** Where the relay ran: on one core, or on all of them. */
  readonly where: (typeof PLACES)[number];
}

const PLACES = ["one core", "all cores"] as const;

/** Measures how attacks affect other clients and what they cost the relay. */
export const hostilePart: Part = { name: "hostile", needs: ["openssl"], run };

async function run(bench: Bench): Promise<PartResult> {
  const probingMs = bench.quick ? 2_000 : 5_000;
  const measured: Measured[] = [];
  for (const program of bench.baseline === undefined ? [bench.relay] : [bench.relay, bench.baseline]) {
    for (const attack of [...CASES, ...FLAT_OUT]) {
      for (const where of FLAT_OUT.includes(attack) ? PLACES : [PLACES[0]]) {
        bench.progress(`hostile: ${attack.attack} on the ${attack.protocol} port, relay on ${where}`);
        const cores = where === "one core" ? bench.cores?.server : undefined;
        const result = await measureUnderAttack(bench, { program, cores, attack, probingMs });
        measured.push({ ...attack, ...result, program, where });
      }
    }
  }
  return {
    tables: [latencyTable(measured), useTable(measured)],
    notes: [
      "the attacker shares its core with the measuring client, at the lowest priority",
      "all cores: the relay may use them all, also that of the client and the attacker",
      "memory is the peak; descriptors are counted at the end of the attack and 5 s later",
    ],
    raw: measured,
  };
}

const nameOf = ({ program, where, attack, protocol, perSecond }: Measured): string =>
  [
    ...(program.name === "relay" ? [] : [program.name]),
    attack,
    protocol,
    ...(perSecond === AS_FAST_AS_IT_CAN ? ["full speed", where] : []),
  ].join(", ");

function latencyTable(measured: readonly Measured[]): Table {
  return {
    title: "hostile: 21 B responses over HTTP, quiet and under attack, ms",
    head: ["attack", "sent/s", "connections", "closed", "p50 quiet", "p50", "p99 quiet", "p99", "p99 ratio"],
    rows: measured.map((each) => {
      const { result, seconds } = each;
      const [quiet, during] = [each.quietMs, each.duringMs].map(asIndependentClients);
      const at = (share: number) => [quantile(quiet ?? [], share), quantile(during ?? [], share)] as const;
      const [p50Quiet, p50] = at(0.5);
      const [p99Quiet, p99] = at(0.99);
      return [
        nameOf(each),
        ...[result.sent / seconds, result.connections, result.closedByServer].map(count),
        ...[p50Quiet, p50, p99Quiet, p99].map(ms),
        ratio(p99 / p99Quiet),
      ];
    }),
  };
}

function useTable(measured: readonly Measured[]): Table {
  return {
    title: "hostile: RSS of the relay in MB and its descriptors: before, peak, after",
    head: ["attack", "RSS before", "peak", "after", "descriptors before", "peak", "after"],
    rows: measured.map((each) => {
      const uses = [each.before, each.peak, each.after];
      return [
        nameOf(each),
        ...uses.map(({ bytes }) => megabytes(bytes)),
        ...uses.map(({ descriptors }) => count(descriptors)),
      ];
    }),
  };
}
