/** Whether an If-None-Match names the tag, by the weak comparison that RFC 9110, 13.1.2 asks for. */
export function matchesEntityTag(ifNoneMatch: string, entityTag: string): boolean {
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((each) => each.trim().replace(/^W\//, "") === entityTag);
}
