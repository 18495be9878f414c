import { join } from "node:path";
import { handleCalls } from "../platform/worker-calls.ts";
import { type LocalCall, type LocalOutcome, type LocalReply, listBuffers } from "./backup-calls.ts";
import { LocalBackupFile } from "./backup-file.ts";
import { SPECS_FILE_NAME } from "./path.ts";

let file: LocalBackupFile | undefined;

handleCalls<LocalCall, LocalReply>(
  ({ limits, action, now }) => {
    file ??= new LocalBackupFile(join(limits.folder, SPECS_FILE_NAME), limits);
    return file.perform(action, now);
  },
  ({ outcome }) => toBuffers(outcome),
);

function toBuffers(outcome: LocalOutcome): readonly ArrayBuffer[] {
  if (outcome.kind === "found_history") return [outcome.history.buffer];
  return outcome.kind === "found" ? listBuffers(outcome.version) : [];
}
