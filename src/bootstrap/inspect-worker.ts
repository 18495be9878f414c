import { handleCalls } from "../platform/worker-calls.ts";
import { type Inspection, type InspectionRequest, inspectFile } from "./inspect.ts";

handleCalls<InspectionRequest, Inspection>(inspectFile);
