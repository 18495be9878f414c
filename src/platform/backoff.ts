/** The longest wait, in ms, between two tries of upstream while it fails, whatever its `Retry-After` says. */
export const MAX_RETRY_DELAY_MS = 60_000;
