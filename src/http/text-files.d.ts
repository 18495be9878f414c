/** A longer match than Bun's own for `*.html`: imported with `type: "text"`, these are what is in the file. */
declare module "./status-*.html" {
  const text: string;
  export default text;
}
