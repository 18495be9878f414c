import { handleCalls } from "../../platform/worker-calls.ts";
import { type Preparation, type PreparationRequest, prepare } from "./prepare.ts";

handleCalls<PreparationRequest, Preparation>(prepare);
