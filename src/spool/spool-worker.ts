import { handleCalls } from "../platform/worker-calls.ts";
import type { SpoolCall, SpoolReply } from "./calls.ts";
import { SpoolFile } from "./file.ts";

let file: SpoolFile | undefined;

handleCalls<SpoolCall, SpoolReply>(
  ({ limits, action, now }) => {
    file ??= new SpoolFile(limits);
    return file.perform(action, now);
  },
  () => [],
);
