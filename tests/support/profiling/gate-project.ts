import { expect } from "bun:test";
import { eventually } from "../common/wait.ts";
import type { RelayProcess } from "../relay/relay-process.ts";
import { lcutOf } from "../upstream/gate-versions.ts";
import { entity, everyone, specV1 } from "../upstream/payloads.ts";
import type { Upstream } from "../upstream/upstream.ts";

export const PROFILING_GATE = "enable_gcp_profiler_for_sfp";

/** The project whose SDK key the relay is given in STATSIG_SERVER_SDK_KEY. */
export const GATE_KEY = "secret-of-the-gate-0123456789";

type Json = Record<string, unknown>;

/** Returns a gate that is on for users who meet all conditions. */
export const gateOf = (name: string, conditions: readonly Json[] = [everyone], isOn = true): Json =>
  entity({
    ...{ name, type: "feature_gate", returnValue: true, defaultValue: false },
    ...{ passPercentage: isOn ? 100 : 0, conditions },
  });

/** Returns a condition that users meet who have one of these custom IDs. */
export const hasCustomId = (idType: string, values: readonly string[]): Json => ({
  ...everyone,
  ...{ type: "unit_id", operator: "any", targetValue: values, idType },
});

/** Returns a condition that the users of an ID list meet. */
export const isInList = (list: string, idType: string): Json => ({
  ...everyone,
  ...{ type: "unit_id", operator: "in_segment_list", targetValue: list, idType },
});

/** Returns a gate that is on for everyone, and takes seconds to evaluate: each rule but the last tries a slow pattern. */
export function slowGate(name: string, rules: number): Json {
  const slow = hasCustomId("podID", []);
  const pattern = { ...slow, operator: "str_matches", targetValue: "^(a+)+$" };
  const [never] = gateOf(name, [pattern])["rules"] as Json[];
  const gate = gateOf(name);
  return { ...gate, rules: [...Array.from({ length: rules }, () => never), ...(gate["rules"] as Json[])] };
}

/** Returns the config specs of a version with these gates, beside those that every project of the tests has. */
export function gateSpecs(number: number, gates: readonly Json[]): Json & { feature_gates: Json[] } {
  const specs = specV1({ lcut: lcutOf(number), sdkKey: GATE_KEY });
  return { ...specs, feature_gates: [...specs.feature_gates, ...gates] };
}

/** Publishes a version with these gates. */
export function publishGates(upstream: Upstream, number: number, gates: readonly Json[]): void {
  upstream.publish(GATE_KEY, "v1", gateSpecs(number, gates));
}

/** Publishes a version whose gate turns profiling on or off for every relay. */
export function publishSwitch(upstream: Upstream, number: number, isOn: boolean): void {
  publishGates(upstream, number, [gateOf(PROFILING_GATE, [everyone], isOn)]);
}

/** What the relay is given for a gate. It finds neither credentials nor Google. */
export const GATE_ENV = {
  HOME: "/nonexistent",
  STATSIG_SERVER_SDK_KEY: GATE_KEY,
  HOSTNAME: "relay-7",
  GCE_METADATA_HOST: "127.0.0.1:1",
  SFP_GCP_PROFILER_ENDPOINT: "http://127.0.0.1:1",
};

/** Returns each time that the gate turned profiling on or off, and the number of the version that did it. */
export const turnsOf = (relay: RelayProcess): string[] =>
  Array.from(
    relay.output().matchAll(/gate turned profiling (on|off) +lcut=(\d+)/g),
    ([, state, lcut]) => `${state} ${(Number(lcut) - lcutOf(0)) / (lcutOf(1) - lcutOf(0))}`,
  );

export const expectTurns = (relay: RelayProcess, turns: readonly string[], withinMs = 20_000) =>
  eventually(() => expect(turnsOf(relay)).toEqual([...turns]), { withinMs });

/** Resolves when a version was evaluated, by the line that a relay logs for each at level debug. */
export const evaluated = (relay: RelayProcess, number: number) =>
  eventually(() => expect(relay.output()).toContain(`profiling gate evaluated lcut=${lcutOf(number)}`), {
    withinMs: 20_000,
  });
