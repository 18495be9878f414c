import type { TakenProfile } from "./profiler.ts";

/** Returns the profile as gzipped pprof, which `go tool pprof`, speedscope and Google Cloud Profiler read. */
export function encodePprof(_profile: TakenProfile): Promise<Uint8Array<ArrayBuffer>> {
  throw new Error("not yet");
}
