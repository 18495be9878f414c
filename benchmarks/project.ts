import { gzipSync } from "node:zlib";

/** One version of a synthetic project, as upstream sends it. */
export interface Project {
  readonly lcut: number;
  readonly json: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
}

/** Returns a project whose gzip body has about `bytes` bytes, within about a percent. */
export function projectOfGzipBytes(bytes: number, lcut: number): Project {
  const gates = gateTexts(lcut);
  let jsonBytes = bytes * EXPECTED_RATIO;
  for (let attempt = 0; ; attempt++) {
    const project = assemble(gates, jsonBytes, lcut);
    if (attempt >= 4 || Math.abs(project.gzip.length / bytes - 1) < 0.005) return project;
    jsonBytes *= bytes / project.gzip.length;
  }
}

/** Returns a project whose JSON has exactly `bytes` bytes. */
export function projectOfJsonBytes(bytes: number, lcut: number): Project {
  return assemble(gateTexts(lcut), bytes, lcut);
}

/** Real projects compress about 3 to 1 with gzip. */
const EXPECTED_RATIO = 3;

const LISTED_USERS = 6;

function assemble(gates: Iterator<string>, bytes: number, lcut: number): Project {
  const head = `{"has_updates":true,"time":${lcut},"response_format":"dcs-v2","dynamic_configs":{},"layer_configs":{},`;
  const end = '"}';
  let text = `${head}"feature_gates":{"first":{}`;
  const room = () => Math.round(bytes) - text.length - '},"filler":"'.length - end.length;
  for (let gate = next(gates); gate.length <= room(); gate = next(gates)) text += gate;
  text += '},"filler":"';
  const json = new TextEncoder().encode(
    text + "x".repeat(Math.max(0, Math.round(bytes) - text.length - end.length)) + end,
  );
  return { lcut, json, gzip: new Uint8Array(gzipSync(json)) };
}

function next(gates: Iterator<string>): string {
  const { value } = gates.next();
  return String(value);
}

/** Generates gates, the same ones for the same seed. */
function* gateTexts(seed: number): Generator<string> {
  const hex = randomHex(seed);
  for (let at = 0; ; at++) {
    const users = Array.from({ length: LISTED_USERS }, () => `user_${hex()}${hex()}`);
    const gate = {
      name: `gate_${at}`,
      type: "feature_gate",
      salt: `${hex()}-${hex()}`,
      enabled: true,
      defaultValue: false,
      idType: "userID",
      entity: "feature_gate",
      rules: [
        {
          name: "listed users",
          id: `rule_${hex()}`,
          salt: hex(),
          passPercentage: 100,
          returnValue: true,
          idType: "userID",
          conditions: [
            { type: "user_field", field: "userID", operator: "any", targetValue: users, idType: "userID" },
          ],
        },
      ],
    };
    yield `,"gate_${at}":${JSON.stringify(gate)}`;
  }
}

/** Returns eight hex digits per call, from a xorshift generator: the same on every machine. */
export function randomHex(seed: number): () => string {
  let state = seed % 0xffff_fffb || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0).toString(16).padStart(8, "0");
  };
}
