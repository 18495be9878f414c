/** A file that contains the version of the relay. */
interface Place {
  readonly file: string;
  /** Formats the text around the version; the file contains it at least once. */
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

/** Replaces the version in all its places of a file. Throws if one of them does not contain the old version. */
export function withVersion(file: string, content: string, from: string, to: string): string {
  let changed = content;
  for (const { text } of VERSION_PLACES.filter((place) => place.file === file)) {
    if (!changed.includes(text(from))) throw new Error(`${file} does not contain "${text(from).trim()}"`);
    changed = changed.replaceAll(text(from), text(to));
  }
  return changed;
}
