/** The content codings that an Accept-Encoding header offers, without those refused by `q=0`. */
export function acceptedCodings(header: string | undefined): ReadonlySet<string> {
  const offers = (header ?? "").split(",").map((offer) =>
    offer
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/),
  );
  const accepted = offers.filter(([, weight]) => weight === undefined || !/^q=0(\.0*)?$/.test(weight));
  return new Set(accepted.map(([coding = ""]) => coding));
}
