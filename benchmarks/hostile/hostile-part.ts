import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import type { CoreList } from "../cores.ts";
import { FLAT_OUT_ATTACKS, STEADY_ATTACKS } from "./attack-cases.ts";
import { latencyTable, type MeasuredAttack, useTable } from "./hostile-tables.ts";
import { type AttackCase, measureUnderAttack } from "./under-attack.ts";

const NOTES = [
  "latencies are those of the best round, quiet or with the attack: other programs only add to them",
  "the attacker shares its core with the measuring client, at the lowest priority",
  "memory is the peak; descriptors are counted at the end of the attack and 5 s later",
];

/** Measures how attacks at a constant rate affect other clients and what they cost the relay. */
export const hostilePart: Part = {
  name: "hostile",
  needs: ["openssl"],
  run: (bench) => measureAll(bench, "hostile", STEADY_ATTACKS, [["one core", bench.cores?.server]], NOTES),
};

/** Measures how attacks at full speed on the HTTP/2 ports affect clients of the HTTP port. */
export const flatOutPart: Part = {
  name: "flat-out",
  needs: ["openssl"],
  run: (bench) =>
    measureAll(
      bench,
      "flat-out",
      FLAT_OUT_ATTACKS,
      [
        ["one core", bench.cores?.server],
        ["all cores", undefined],
      ],
      [...NOTES, "all cores: the relay may also use the core of the client and the attacker"],
    ),
};

/** Cores on which a relay runs, and what tables call them. */
type Place = readonly [name: string, cores: CoreList];

async function measureAll(
  bench: Bench,
  part: string,
  attacks: readonly AttackCase[],
  places: readonly Place[],
  notes: readonly string[],
): Promise<PartResult> {
  const load = bench.quick ? { probingMs: 1_500, rounds: 2 } : { probingMs: 2_500, rounds: 3 };
  const measured: MeasuredAttack[] = [];
  for (const attack of attacks) {
    for (const [where, cores] of places) {
      for (const program of programsOf(bench)) {
        const server = [program.name, ...(places.length > 1 ? [where] : [])].join(", ");
        bench.progress(`${part}: ${attack.attack} on the ${attack.protocol} port of ${server}`);
        const result = await measureUnderAttack(bench, { program, cores, attack, ...load });
        measured.push({ ...attack, ...result, server });
      }
    }
  }
  return { tables: [latencyTable(part, measured), useTable(part, measured)], notes, raw: measured };
}
