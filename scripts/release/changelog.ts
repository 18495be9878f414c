const HEADING = "## Unreleased\n";

/** Returns the text of the section Unreleased. Throws if there is no such section. */
export function readUnreleasedNotes(changelog: string): string {
  const start = changelog.indexOf(`\n${HEADING}`);
  if (start < 0) throw new Error('CHANGELOG.md has no section "## Unreleased"');
  const rest = changelog.slice(start + 1 + HEADING.length);
  const end = rest.search(/^## /m);
  return rest.slice(0, end < 0 ? undefined : end).trim();
}

/** Returns the changelog with the unreleased notes under the version, and an empty section Unreleased. */
export function withRelease(changelog: string, version: string, date: string): string {
  return changelog.replace(`\n${HEADING}`, `\n${HEADING}\n## ${version} - ${date}\n`);
}
