import type { AttackCase } from "./under-attack.ts";

const IDLE_CONNECTIONS = 5_000;
const SLOW_CONNECTIONS = 1_000;
const FRAMES_PER_S = 2_000;
/** Rate for headers of the maximum size. */
const LARGE_FRAMES_PER_S = 500;
/** More than any attacker can send. */
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

const flatOut = (attack: AttackCase["attack"], protocol: AttackCase["protocol"]): AttackCase => ({
  attack,
  protocol,
  connections: 4,
  perSecond: AS_FAST_AS_IT_CAN,
});

/** Attacks at a constant rate. */
export const STEADY_ATTACKS: readonly AttackCase[] = [
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
export const FLAT_OUT_ATTACKS: readonly AttackCase[] = (
  [
    "rapid reset",
    "CONTINUATION flood",
    "SETTINGS flood",
    "PING flood",
    "WINDOW_UPDATE flood",
    "header bomb",
    "large headers",
  ] as const
).flatMap((attack) => [flatOut(attack, "grpc"), flatOut(attack, "https")]);
