import { handleCalls } from "../../platform/worker-calls.ts";
import { type DiffRequest, diffVersions, type VersionDiff } from "../versions/diff.ts";
import { type Preparation, type PreparationRequest, prepare } from "./prepare.ts";

/** Operators compare versions so rarely that this needs no Worker of its own. */
handleCalls<PreparationRequest | DiffRequest, Preparation | VersionDiff>((request) =>
  "raw" in request ? prepare(request) : diffVersions(request),
);
