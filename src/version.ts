import { version } from "../package.json";

/** As in package.json; also told to upstream. */
export const VERSION: string = version;

/** What `bun run build` puts in the place of this name. */
declare const SFP_BUILD_COMMIT: string;

/** The commit that an executable was built from, `-dirty` behind it where files differed; "source" without a build. */
export const COMMIT: string = typeof SFP_BUILD_COMMIT === "string" ? SFP_BUILD_COMMIT : "source";

/** Bun's, which is in the executable. */
export const BUN_VERSION: string = process.versions["bun"] ?? "none";

/** For people and scripts: the version is the second word, whatever is added behind it. */
export const VERSION_LINE = `${VERSION} (${COMMIT}, Bun ${BUN_VERSION})`;
