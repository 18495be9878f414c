declare module "spdx-expression-parse" {
  /** Throws where a text is no licence expression. */
  export default function parse(text: string): object;
}
