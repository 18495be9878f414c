/** The files of the page are imported as text, which Bun's own declarations do not know. */
declare module "./*.html" {
  const text: string;
  export default text;
}

declare module "./*.css" {
  const text: string;
  export default text;
}

declare module "./*.js" {
  const text: string;
  export default text;
}
