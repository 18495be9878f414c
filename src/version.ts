import { version } from "../package.json";

/** As in package.json; also told to upstream. */
export const VERSION: string = version;
