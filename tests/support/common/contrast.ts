import type { Page } from "playwright-core";

/** Runs in the page: returns each text with its color and the color behind it. */
const TEXTS = `[...document.querySelectorAll("body *")].flatMap((element) => {
  const own = [...element.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data.trim()).join("");
  if (own === "" || !element.checkVisibility() || element.closest(".unseen, style, script, noscript")) return [];
  let behind = element;
  while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  return [[own, getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]];
})`;

/** Returns the texts whose contrast ratio (WCAG 2.2, 1.4.3) is below `least`. */
export async function faintTexts(page: Page, least: number): Promise<readonly string[]> {
  const texts = await page.evaluate<[text: string, color: string, behind: string][]>(TEXTS);
  return texts.flatMap(([text, color, behind]) => {
    const ratio = contrast(luminance(color), luminance(behind));
    return ratio < least ? [`"${text}" has ${ratio.toFixed(2)}: ${color} on ${behind}`] : [];
  });
}

function contrast(one: number, other: number): number {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map((part) =>
    linear(Number(part) / 255),
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
