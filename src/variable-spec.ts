/** A variable of the environment that is no option: most have their names from the original proxy. */
export interface VariableSpec {
  readonly name: string;
  /** Names that mean the same for a part of what this one is for, and go before it. */
  readonly variants?: readonly string[];
  /** As a person would write it; undefined where there is none. */
  readonly default?: string;
  /** Never shown. */
  readonly isSecret?: true;
  readonly description: string;
}
