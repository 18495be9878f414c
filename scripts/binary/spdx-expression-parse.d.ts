declare module "spdx-expression-parse" {
  /** Throws if the text is not a license expression. */
  export default function parse(text: string): object;
}
