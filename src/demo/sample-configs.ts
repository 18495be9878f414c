import { passes, tier, userField } from "./sample-conditions.ts";
import type { JsonObject, Spec } from "./sample-model.ts";
import { dynamicConfig, rule } from "./sample-specs.ts";

const limits: JsonObject = { requests_per_minute: 120, burst: 20, cart_items: 100 };

const steady: readonly Spec[] = [
  dynamicConfig("rate_limits", limits, [
    rule("relaxed for tests", { ...limits, requests_per_minute: 10_000 }, { when: [tier(["development"])] }),
  ]),
  dynamicConfig("shipping_rates", { currency: "USD", standard: 7.5, express: 19.9, free_from: 80 }, [
    rule(
      "euro zone",
      { currency: "EUR", standard: 4.9, express: 12.5, free_from: 50 },
      { when: [userField("country", "any", ["AT", "DE", "FR", "IT"])] },
    ),
    rule(
      "switzerland",
      { currency: "CHF", standard: 8, express: 16, free_from: 100 },
      { when: [userField("country", "eq", "CH")] },
    ),
  ]),
  dynamicConfig("payment_methods", { methods: ["card", "paypal"], save_card: true }, [
    rule(
      "business",
      { methods: ["card", "invoice", "direct_debit"], save_card: true, invoice: { days: 30 } },
      { when: [passes("b2b_pricing")] },
    ),
  ]),
  dynamicConfig("support_desk", { channel: "email", hours: { from: 9, to: 17 }, phone: null }, [
    rule(
      "vip",
      { channel: "phone", hours: { from: 0, to: 24 }, phone: "+1 555 0100" },
      { when: [passes("vip_support")] },
    ),
  ]),
  dynamicConfig("homepage_hero", { headline: "Everything you need", image: "hero-default.webp" }, [
    rule("new look", { headline: "Fresh finds, every day", image: "hero-2.webp" }, { percent: 30 }),
  ]),
  dynamicConfig("feature_notes", {}),
];

function demoBanner(revision: number, timeMs: number): Spec {
  const value = { revision, text: `This is revision ${revision}`, changed_at_ms: timeMs };
  const banner = dynamicConfig("demo_banner", { revision: 0, text: "no banner" }, [rule("everyone", value)]);
  return { ...banner, version: revision };
}

export function dynamicConfigsAt(revision: number, timeMs: number): readonly Spec[] {
  return [...steady, demoBanner(revision, timeMs)];
}
