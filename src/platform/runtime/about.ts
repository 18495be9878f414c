/** A program that runs JavaScript. */
export interface Runtime {
  readonly name: "Bun" | "Deno";
  readonly version: string;
}
