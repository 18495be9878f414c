import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { IdListEvent } from "../../id-lists/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { KeyTags } from "../metrics/tags.ts";
import { type IdListsStatus, type Problem, toIsoOrNull } from "../status/schema.ts";

const WORDS = {
  begins: "upstream failing for ID lists, serving what is held",
  lasts: "upstream still failing for ID lists",
  ends: "upstream works again for ID lists",
  failing: "failing_keys",
};

/** Each is one, but a flood of them tells no more than that it is one. */
const UPDATES_PER_MIN = 600;

type UpstreamFailure = Extract<
  IdListEvent,
  { kind: "id_lists_refused" | "id_lists_fetch_failed" | "id_lists_unauthorized" }
>;

/** Log lines of ID lists. */
export class IdListLog {
  readonly #logger: Logger;
  readonly #upstream: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #updates: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#upstream = new OutageLog(logger, clock, WORDS);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#updates = new ThrottledLog(logger, clock, UPDATES_PER_MIN);
  }

  write(event: IdListEvent): void {
    switch (event.kind) {
      case "id_lists_updated": {
        const { lists, source } = event;
        const sdkKey = maskSdkKey(event.sdkKey);
        this.#updates.log("info", "ID lists updated", { sdk_key: sdkKey, lists, source });
        if (source === "upstream") this.#upstream.ended(sdkKey);
        return;
      }
      case "id_lists_unchanged":
        debugLine(this.#logger, event);
        this.#upstream.ended(maskSdkKey(event.sdkKey));
        return;
      case "id_lists_refused":
      case "id_lists_fetch_failed":
      case "id_lists_unauthorized":
        this.#writeFailure(event);
        return;
      case "id_list_file_updated":
      case "id_list_file_removed":
        debugLine(this.#logger, event);
        return;
      case "id_lists_backup_failed":
      case "id_list_left_out":
      case "id_list_file_failed":
      case "id_lists_folder_unusable":
        this.#writeProblem(event);
    }
  }

  #writeFailure(event: UpstreamFailure): void {
    const sdkKey = maskSdkKey(event.sdkKey);
    const fields = { sdk_key: sdkKey, detail: detailOf(event) };
    const cause = causeOf(event);
    if (isHeld(event)) {
      this.#upstream.failed(sdkKey, { cause, fields });
      return;
    }
    // A key of which nothing is held may never be asked for again: it must not keep an outage open.
    this.#upstream.ended(sdkKey);
    if (event.kind === "id_lists_unauthorized") {
      const message = "upstream does not accept the SDK key for ID lists";
      this.#throttled.of(cause).log("info", message, { ...fields, what_is_held: event.whatIsHeld });
    } else {
      const message = "upstream failing for ID lists, nothing to serve yet";
      this.#throttled.of("nothing").log("warn", message, { cause, ...fields });
    }
  }

  #writeProblem(
    event: Extract<
      IdListEvent,
      {
        kind:
          | "id_lists_backup_failed"
          | "id_list_left_out"
          | "id_list_file_failed"
          | "id_lists_folder_unusable";
      }
    >,
  ): void {
    const log = this.#throttled.of(event.kind);
    const { detail } = event;
    switch (event.kind) {
      case "id_lists_backup_failed": {
        const fields = { sdk_key: maskSdkKey(event.sdkKey), action: event.action, detail };
        log.log("warn", "the backup does not work for ID lists", fields);
        return;
      }
      case "id_list_left_out": {
        const fields = { sdk_key: maskSdkKey(event.sdkKey), list: event.list, detail };
        log.log("warn", "an ID list is left out of the manifest", fields);
        return;
      }
      case "id_list_file_failed": {
        const message = "the file of an ID list could not be brought up to date";
        log.log("warn", message, { list: event.list, detail });
        return;
      }
      case "id_lists_folder_unusable": {
        const message = "files of ID lists can't be kept, clients are sent to upstream for them";
        log.log("warn", message, { detail });
      }
    }
  }
}

function isHeld(event: UpstreamFailure): boolean {
  return event.kind === "id_lists_unauthorized" ? event.whatIsHeld === "kept" : event.held;
}

function causeOf(event: UpstreamFailure): string {
  switch (event.kind) {
    case "id_lists_refused":
      return "refused";
    case "id_lists_fetch_failed":
      return event.cause;
    case "id_lists_unauthorized":
      return "unauthorized";
  }
}

function detailOf(event: UpstreamFailure): string {
  return event.kind === "id_lists_unauthorized" ? `upstream answered ${event.status}` : event.detail;
}

/** What happens to ID lists, as measurements. */
export function measureIdLists(event: IdListEvent, registry: MetricRegistry, keys: KeyTags): void {
  switch (event.kind) {
    case "id_lists_updated":
      registry.count("IdListUpdated", { ...keys.of(event.sdkKey), source: event.source });
      return;
    case "id_list_file_updated":
      registry.count("IdListFileBytes", {}, event.addedBytes);
      return;
    case "id_lists_refused":
    case "id_lists_fetch_failed":
    case "id_lists_unauthorized":
    case "id_lists_backup_failed":
    case "id_list_file_failed":
    case "id_list_left_out":
    case "id_lists_folder_unusable":
      registry.count("IdListFailed", { reason: event.kind.replace(/^id_lists?_/, "") });
      return;
    case "id_lists_unchanged":
    case "id_list_file_removed":
  }
}

/** What there is to know of the files of ID lists. Moments are ms since the Unix epoch. */
interface IdListStatusReadings {
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly { readonly list: string; readonly detail: string; readonly since: number }[];
  readonly folderUnusable: { readonly reason: string; readonly since: number } | undefined;
  readonly unknown: readonly { readonly sdkKey: SdkKey; readonly since: number }[];
}

const MAX_SHOWN = 20;

/** As many lists or keys as the text of a problem names. */
const MAX_NAMED = 5;

export function showIdLists(
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

export function* idListProblems(readings: IdListStatusReadings): Iterable<Problem> {
  const { problems, folderUnusable, unknown } = readings;
  if (folderUnusable !== undefined) {
    const text = "Files of ID lists can't be kept: clients are sent to upstream for them";
    const { since, reason } = folderUnusable;
    yield problem("id_lists_folder_unusable", text, since, reason);
  }
  const [first] = [...problems].sort((a, b) => a.since - b.since);
  if (first !== undefined) {
    const names = namesOf(problems.map(({ list }) => list));
    const what = problems.length === 1 ? "1 ID list is" : `${problems.length} ID lists are`;
    const text = `${what} not up to date: ${names}`;
    yield problem("id_lists_failing", text, first.since, `${first.list}: ${first.detail}`);
  }
  const [oldest] = unknown;
  if (oldest !== undefined) {
    const names = namesOf(unknown.map(({ sdkKey }) => maskSdkKey(sdkKey)));
    yield problem(
      "id_lists_failing",
      `Upstream does not say which ID lists there are of ${names}`,
      oldest.since,
      null,
    );
  }
}

function problem(kind: Problem["kind"], text: string, since: number, detail: string | null): Problem {
  return { kind, severity: "warning", text, since: toIsoOrNull(since), detail };
}

function namesOf(names: readonly string[]): string {
  return names.slice(0, MAX_NAMED).join(", ") + (names.length > MAX_NAMED ? ", ..." : "");
}
