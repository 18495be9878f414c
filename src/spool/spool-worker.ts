import { answerCalls } from "../platform/worker-calls.ts";
import type { SpoolCall, SpoolReply } from "./calls.ts";
import { EventSpoolFile } from "./file.ts";

let file: EventSpoolFile | undefined;

answerCalls<SpoolCall, SpoolReply>(
  ({ limits, action, now }) => {
    file ??= new EventSpoolFile(limits);
    return file.perform(action, now);
  },
  () => [],
);
