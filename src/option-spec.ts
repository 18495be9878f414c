/** An option of the command line, of the environment as `SFP_` and its upper-case name, and of a file. */
export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  readonly kind: "flag" | "integer" | "text";
  /** As it would be written; undefined where there is none. */
  readonly default?: string;
  readonly min?: number;
  readonly max?: number;
  /** The texts that are allowed, where they are few. */
  readonly words?: readonly string[];
  /** A comma list; in a file it may be a list. */
  readonly isList?: true;
  /** SDK keys: never shown whole. */
  readonly isSecret?: true;
  /** A new value is taken over while the relay goes on. */
  readonly isLive?: true;
  readonly placeholder?: string;
  readonly description: string;
}
