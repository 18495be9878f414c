/** A file that names the version of the relay, and how. */
interface Place {
  readonly file: string;
  /** The text of a version there, as often as it stands. */
  readonly text: (version: string) => string;
}

const imageTag = (version: string) => `statsig-forward-proxy:${version}`;
const chart = "deploy/helm/statsig-forward-proxy";

export const VERSION_PLACES: readonly Place[] = [
  { file: "package.json", text: (version) => `"version": "${version}"` },
  { file: `${chart}/Chart.yaml`, text: (version) => `\nversion: ${version}\n` },
  { file: `${chart}/Chart.yaml`, text: (version) => `\nappVersion: ${version}\n` },
  { file: `${chart}/README.md`, text: imageTag },
  { file: "deploy/kubernetes/active.yaml", text: imageTag },
  { file: "deploy/kubernetes/passive.yaml", text: imageTag },
];

/** A file's text with the new version in each of its places. Throws where one of them does not hold the old one. */
export function withVersion(file: string, content: string, from: string, to: string): string {
  let changed = content;
  for (const { text } of VERSION_PLACES.filter((place) => place.file === file)) {
    if (!changed.includes(text(from))) throw new Error(`${file} does not hold "${text(from).trim()}"`);
    changed = changed.replaceAll(text(from), text(to));
  }
  return changed;
}
