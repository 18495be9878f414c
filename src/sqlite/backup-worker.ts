import { join } from "node:path";
import { handleCalls } from "../platform/worker-calls.ts";
import type { LocalCall, LocalReply } from "./backup-calls.ts";
import { LocalBackupFile } from "./backup-file.ts";
import { SPECS_FILE_NAME } from "./path.ts";

let file: LocalBackupFile | undefined;

handleCalls<LocalCall, LocalReply>(
  ({ limits, action, now }) => {
    file ??= new LocalBackupFile(join(limits.folder, SPECS_FILE_NAME), limits);
    return file.perform(action, now);
  },
  ({ outcome }) => (outcome.kind === "found" ? [outcome.version.body.buffer] : []),
);
