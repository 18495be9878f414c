import { browser, fails, now, passes, tier, unitIn, unitInList, userField } from "./sample-conditions.ts";
import { companyListName } from "./sample-id-list.ts";
import type { Spec } from "./sample-model.ts";
import { gate, rule } from "./sample-specs.ts";

const springSaleEndMs = Date.UTC(2024, 4, 1);
const newReturnsPolicyMs = Date.UTC(2024, 0, 1);

const segments: readonly Spec[] = [
  gate(
    "segment:business_customers",
    [rule("listed", true, { when: [unitInList(companyListName, "companyID")], idType: "companyID" })],
    { entity: "segment", idType: "companyID" },
  ),
  gate("segment:loyal_customers", [rule("orders", true, { when: [userField("orders", "gte", 10)] })], {
    entity: "segment",
  }),
  gate("global_holdout", [rule("held out", true, { percent: 5 })], { entity: "holdout" }),
];

const rollouts: readonly Spec[] = [
  gate("checkout_express", [rule("everyone", true)]),
  gate("new_search", [rule("everyone", true, { percent: 25 })]),
  gate("dark_mode", [rule("half of the devices", true, { percent: 50, idType: "stableID" })], {
    idType: "stableID",
  }),
  gate("bulk_discounts", [rule("some companies", true, { percent: 40, idType: "companyID" })], {
    idType: "companyID",
  }),
  gate("new_payment_provider", [
    rule("staff", true, { when: [userField("email", "str_ends_with_any", ["@shop.example"])] }),
    rule("canary", true, { percent: 2.5 }),
  ]),
  gate("recommendations_v2", [rule("not held out", true, { when: [fails("global_holdout")], percent: 60 })]),
  gate("kill_recommendations", [rule("everyone", true, { percent: 0 })]),
  gate("legacy_cart", [], { enabled: false }),
];

const targeted: readonly Spec[] = [
  gate("free_shipping_banner", [
    rule("alps", true, { when: [userField("country", "any", ["AT", "CH", "DE"])] }),
  ]),
  gate("wishlist", [rule("recent app", true, { when: [userField("appVersion", "version_gte", "2.3.0")] })]),
  gate("gift_cards", [
    rule("languages", true, { when: [userField("locale", "str_starts_with_any", ["en", "de"])] }),
  ]),
  gate("beta_program", [rule("plans", true, { when: [userField("plan", "any", ["gold", "platinum"])] })]),
  gate("vip_support", [rule("big spenders", true, { when: [userField("lifetime_value", "gt", 1000)] })]),
  gate("age_restricted_items", [rule("adults", true, { when: [userField("age", "gte", 18)] })]),
  gate("staff_tools", [
    rule("address", true, { when: [userField("email", "str_matches", "^[a-z.]+@shop\\.example$")] }),
  ]),
  gate("bulk_order_form", [
    rule("tagged", true, { when: [userField("tags", "array_contains_any", ["wholesale", "reseller"])] }),
  ]),
  gate("early_access", [rule("invited", true, { when: [unitIn(["alice", "bob"])] })]),
  gate("mobile_app_prompt", [rule("phones", true, { when: [browser("os_name", ["iOS", "Android"])] })]),
  gate("debug_toolbar", [rule("not production", true, { when: [tier(["development", "staging"])] })]),
  gate("live_inventory", [rule("production", true, { when: [tier(["production"])] })]),
  gate("extended_returns", [rule("since", true, { when: [now("after", newReturnsPolicyMs)] })]),
  gate("spring_sale", [rule("until", true, { when: [now("before", springSaleEndMs)] })]),
];

const dependent: readonly Spec[] = [
  gate("b2b_pricing", [rule("business", true, { when: [passes("segment:business_customers")] })]),
  gate("loyalty_rewards", [rule("loyal", true, { when: [passes("segment:loyal_customers")] })]),
  gate("priority_returns", [
    rule("rewarded in time", true, { when: [passes("loyalty_rewards"), passes("extended_returns")] }),
  ]),
];

/** On at every odd revision, off at every even one: the change to watch for in a demo. */
function demoFlip(revision: number): Spec {
  const percent = revision % 2 === 1 ? 100 : 0;
  return { ...gate("demo_flip", [rule("everyone", true, { percent })]), version: revision };
}

export function gatesAt(revision: number): readonly Spec[] {
  return [...segments, ...rollouts, ...targeted, ...dependent, demoFlip(revision)];
}
