/**
 * Of every answer that is given on the HTTP port: no browser guesses another type than the one that is said, and nobody
 * learns the version from it.
 */
export const COMMON_HEADERS = {
  "x-content-type-options": "nosniff",
  server: "statsig-forward-proxy",
} as const;
