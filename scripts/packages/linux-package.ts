/** The targets of `npm run build:all` that have packages: distributions with packages of these kinds have glibc. */
export const PACKAGE_TARGETS = ["linux-x64", "linux-arm64"] as const;
export type PackageTarget = (typeof PACKAGE_TARGETS)[number];

/** What a package is built from. */
export interface LinuxPackage {
  readonly target: PackageTarget;
  /** Path of the executable for the target. */
  readonly executable: string;
  /** As in package.json. */
  readonly version: string;
  /** Seconds since the Unix epoch, for all files. */
  readonly timeS: number;
  /** Where the package is put. */
  readonly outdir: string;
}
