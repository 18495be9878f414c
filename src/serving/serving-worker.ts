import { systemClock } from "../platform/clock.ts";
import { serve } from "./serve.ts";

declare const self: Worker;

serve(self, systemClock);
