/** When the connections of the version client saw one version. Times are ms since the Unix epoch. */
export interface Sighting {
  readonly lcut: number;
  /** When the first and the last connection received it. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** When the last request was sent whose response had an older version. */
  readonly lastOldSentMs: number;
  /** Number of connections that received it. */
  readonly connections: number;
}

/** Final result of the version client. */
export interface Sightings {
  readonly requests: number;
  /** Ascending by version. */
  readonly versions: readonly Sighting[];
}
