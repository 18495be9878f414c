import { asIndependentClients } from "../prepare/probing.ts";
import { quantile } from "../statistics.ts";
import { count, megabytes, ms, ratio, type Table } from "../table.ts";
import type { AttackCase, UnderAttack } from "./under-attack.ts";

export interface MeasuredAttack extends AttackCase, UnderAttack {
  /** Name of the relay and, if there are several, of its place. */
  readonly server: string;
}

export function latencyTable(part: string, measured: readonly MeasuredAttack[]): Table {
  return {
    title: `${part}: 21 B responses over HTTP, quiet and under attack, ms`,
    head: [
      "attack",
      "server",
      "sent/s",
      "connections",
      "closed",
      "p50 quiet",
      "p50",
      "p99 quiet",
      "p99",
      "p99 ratio",
    ],
    rows: measured.map((each) => {
      const { result, seconds, rounds } = each;
      const quiet = rounds.map(({ quietMs }) => asIndependentClients(quietMs));
      const during = rounds.map(({ duringMs }) => asIndependentClients(duringMs));
      const at = (share: number) => [bestOf(quiet, share), bestOf(during, share)] as const;
      const [p50Quiet, p50] = at(0.5);
      const [p99Quiet, p99] = at(0.99);
      return [
        `${each.attack}, ${each.protocol}`,
        each.server,
        ...[result.sent / seconds, result.connections, result.closedByServer].map(count),
        ...[p50Quiet, p50, p99Quiet, p99].map(ms),
        ratio(p99 / p99Quiet),
      ];
    }),
  };
}

const bestOf = (rounds: readonly (readonly number[])[], share: number): number =>
  Math.min(...rounds.map((latencies) => quantile(latencies, share)));

export function useTable(part: string, measured: readonly MeasuredAttack[]): Table {
  return {
    title: `${part}: RSS of the relay in MB and its descriptors: before, peak, after`,
    head: ["attack", "server", "RSS before", "peak", "after", "descriptors before", "peak", "after"],
    rows: measured.map((each) => {
      const uses = [each.before, each.peak, each.after];
      return [
        `${each.attack}, ${each.protocol}`,
        each.server,
        ...uses.map(({ bytes }) => megabytes(bytes)),
        ...uses.map(({ descriptors }) => count(descriptors)),
      ];
    }),
  };
}
