import { handleCalls } from "../../platform/worker-calls.ts";
import { evaluateGate } from "./evaluate.ts";

handleCalls(evaluateGate);
