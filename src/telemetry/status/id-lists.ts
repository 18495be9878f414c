import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { FoundProblem } from "./next-steps.ts";
import { type IdListsStatus, toIsoOrNull } from "./schema.ts";

/** The state of the ID list files. Times are ms since the Unix epoch. */
interface IdListStatusReadings {
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly { readonly list: string; readonly detail: string; readonly since: number }[];
  readonly folderUnusable: { readonly reason: string; readonly since: number } | undefined;
  /** Preloaded keys without a manifest. */
  readonly unknown: readonly { readonly sdkKey: SdkKey; readonly since: number }[];
}

const MAX_SHOWN = 20;

/** The number of lists or keys that a problem names. */
const MAX_NAMED = 5;

export function formatIdLists(
  readings: IdListStatusReadings,
  { maxBytes }: { readonly maxBytes: number },
): IdListsStatus {
  const { files, bytes, folderUnusable } = readings;
  const failing = [...readings.problems].sort((a, b) => a.since - b.since);
  return {
    state: folderUnusable !== undefined ? "passed_on" : failing.length > 0 ? "failing" : "ok",
    files,
    bytes,
    max_bytes: maxBytes,
    failing_lists: failing.length,
    failing: failing
      .slice(0, MAX_SHOWN)
      .map(({ list, since, detail }) => ({ list, since: toIsoOrNull(since), detail })),
  };
}

export function* idListProblems(readings: IdListStatusReadings): Iterable<FoundProblem> {
  const { problems, folderUnusable, unknown } = readings;
  if (folderUnusable !== undefined) {
    const text = "The ID list folder is unusable: clients fetch the lists from upstream";
    const { since, reason } = folderUnusable;
    yield problem("id_lists_folder_unusable", text, since, reason);
  }
  const [first] = [...problems].sort((a, b) => a.since - b.since);
  if (first !== undefined) {
    const names = joinNames(problems.map(({ list }) => list));
    const what = problems.length === 1 ? "1 ID list is" : `${problems.length} ID lists are`;
    const text = `${what} not up to date: ${names}`;
    yield problem("id_lists_failing", text, first.since, `${first.list}: ${first.detail}`);
  }
  const [oldest] = unknown;
  if (oldest !== undefined) {
    const names = joinNames(unknown.map(({ sdkKey }) => maskSdkKey(sdkKey)));
    yield problem(
      "id_lists_failing",
      `Upstream provides no ID list manifest for ${names}`,
      oldest.since,
      null,
    );
  }
}

function problem(
  kind: FoundProblem["kind"],
  text: string,
  since: number,
  detail: string | null,
): FoundProblem {
  return { kind, severity: "warning", text, since: toIsoOrNull(since), detail };
}

function joinNames(names: readonly string[]): string {
  return names.slice(0, MAX_NAMED).join(", ") + (names.length > MAX_NAMED ? ", ..." : "");
}
