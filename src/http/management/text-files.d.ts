/** Overrides Bun's own declaration of `*.html`, by its longer match: an import with `type: "text"` is the file's text. */
declare module "./status-*.html" {
  const text: string;
  export default text;
}
