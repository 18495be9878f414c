import type { ApiVersion } from "../feed.ts";
import {
  CLOSE_OBJECT,
  COMMA,
  endOfString,
  endOfValue,
  MALFORMED,
  OPEN_ARRAY,
  OPEN_OBJECT,
  skipSpace,
  startOfMemberValue,
} from "./json.ts";

/** Lists of entities: arrays in v1, objects by name in v2 (docs/protocol.md, Config specs). */
const ENTITIES: ReadonlySet<string> = new Set(["feature_gates", "dynamic_configs", "layer_configs"]);

/** Returns the API version that a JSON config spec is for; undefined if its members do not show it. `text` is a JSON object. */
export function findShape(text: Uint8Array): ApiVersion | undefined {
  const found = new Set<ApiVersion>();
  for (const { name, first } of topLevelMembers(text)) {
    if (!ENTITIES.has(name)) continue;
    if (first === OPEN_ARRAY) found.add("v1");
    if (first === OPEN_OBJECT) found.add("v2");
  }
  const [version, other] = [...found];
  return other === undefined ? version : undefined;
}

/** Yields the name of each member, and the first byte of its value. */
function* topLevelMembers(
  text: Uint8Array,
): Generator<{ readonly name: string; readonly first: number | undefined }> {
  let at = skipSpace(text, 0);
  if (text[at] !== OPEN_OBJECT) return;
  at = skipSpace(text, at + 1);
  while (text[at] !== CLOSE_OBJECT) {
    const valueAt = startOfMemberValue(text, at);
    const end = valueAt === MALFORMED ? MALFORMED : endOfValue(text, valueAt);
    if (end === MALFORMED) return;
    const name = new TextDecoder().decode(text.subarray(at + 1, endOfString(text, at) - 1));
    yield { name, first: text[valueAt] };
    at = skipSpace(text, end);
    if (text[at] !== COMMA) return;
    at = skipSpace(text, at + 1);
  }
}
