import type { ListedPin } from "../../specs/pins/pin-desk.ts";
import type { KeptVersion } from "../../specs/versions/kept-versions.ts";

/** Returns a version as the operator API shows it. */
export function formatVersion({
  version,
  isServed,
}: {
  readonly version: KeptVersion;
  readonly isServed: boolean;
}): object {
  const { feed, lcut, servedLcut, receivedAt, bytes, source } = version;
  return {
    api_version: feed.version,
    format: feed.format,
    lcut,
    served_lcut: servedLcut ?? null,
    received_at: new Date(receivedAt).toISOString(),
    bytes,
    source,
    served: isServed,
  };
}

/** Returns a pin as the operator API shows it. */
export function formatPin({ key, pin, lcut: newest, heldBack, missing, isStored }: ListedPin): object {
  const { source, since, by, reason, feeds } = pin;
  return {
    key,
    source,
    lcut: newest ?? null,
    since: since === undefined ? null : new Date(since).toISOString(),
    by: by || null,
    reason: reason || null,
    stored: isStored,
    held_back: heldBack,
    feeds: Object.entries(feeds).map(([form, { lcut, servedLcut }]) => {
      const [apiVersion, format] = form.split("/");
      return {
        api_version: apiVersion,
        format,
        lcut,
        served_lcut: servedLcut,
        missing: missing.includes(form),
      };
    }),
  };
}
