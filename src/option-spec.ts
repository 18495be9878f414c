/** An option of the command line, and of the environment as `SFP_` and its upper-case name. */
export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  readonly kind: "flag" | "integer" | "text";
  /** As it would be written; undefined where there is none. */
  readonly default?: string;
  readonly min?: number;
  readonly max?: number;
  readonly placeholder?: string;
  readonly description: string;
}
