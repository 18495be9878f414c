import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";

/** Path of the executable in the image. */
const EXECUTABLE = "/usr/local/bin/statsig-forward-proxy";

/**
 * Other names of the executable in the image: those of the original's image, which pod specs run and probe, and those of commands in
 * preStop hooks, since the image has neither a shell nor `sleep`. `src/cli/programs.ts` says what each does.
 */
const LINKS = [
  "/entrypoint.sh",
  "/usr/local/bin/statsig_forward_proxy",
  "/usr/local/bin/grpc-health-probe",
  "/usr/local/bin/sleep",
  "/usr/local/bin/sh",
];

/** Returns the path of the executable in a folder that becomes the root of the image. */
export const executableIn = (root: string): string => join(root, EXECUTABLE);

/** Creates the links in that folder. They resolve in the image. */
export function createLinks(root: string): void {
  for (const link of LINKS) {
    const path = join(root, link);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(EXECUTABLE, path);
  }
}
