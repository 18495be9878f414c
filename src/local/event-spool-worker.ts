import { answerCalls } from "../worker-calls.ts";
import type { SpoolCall, SpoolReply } from "./event-spool-calls.ts";
import { EventSpoolFile } from "./event-spool-file.ts";

let file: EventSpoolFile | undefined;

answerCalls<SpoolCall, SpoolReply>(
  ({ limits, action, now }) => {
    file ??= new EventSpoolFile(limits);
    return file.perform(action, now);
  },
  () => [],
);
