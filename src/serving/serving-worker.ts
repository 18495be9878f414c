import { beginWorker } from "#runtime/threads.ts";
import { systemClock } from "../platform/clock.ts";
import { forwardForeignOutput } from "../platform/process/foreign-output.ts";
import { joinProfiling } from "../platform/profiling/join.ts";
import { listenForFaults } from "../platform/supervisor.ts";
import { serve } from "./serve.ts";

declare const self: Worker;

beginWorker();
forwardForeignOutput();
// The thread continues after an uncaught error: its other clients are rarely affected.
listenForFaults(serve(self, systemClock, joinProfiling));
