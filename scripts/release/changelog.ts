const HEADING = "## Unreleased\n";

/** What stands under Unreleased; empty where nothing does. Throws where there is no such section. */
export function unreleasedNotes(changelog: string): string {
  const start = changelog.indexOf(`\n${HEADING}`);
  if (start < 0) throw new Error('CHANGELOG.md has no section "## Unreleased"');
  const rest = changelog.slice(start + 1 + HEADING.length);
  const end = rest.search(/^## /m);
  return rest.slice(0, end < 0 ? undefined : end).trim();
}

/** What was unreleased becomes this version's; the section stays, empty. */
export function withRelease(changelog: string, version: string, date: string): string {
  return changelog.replace(`\n${HEADING}`, `\n${HEADING}\n## ${version} - ${date}\n`);
}
