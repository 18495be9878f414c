import { createHash } from "node:crypto";
import { sampleLayers, standaloneExperiments } from "./experiments.ts";
import type { JsonObject, SampleProject, Spec } from "./model.ts";
import {
  browser,
  dynamicConfig,
  fails,
  gate,
  now,
  passes,
  rule,
  tier,
  unitIn,
  unitInList,
  userField,
} from "./rules.ts";

/** Returns the Statsig project of an online shop. Only `demo_flip` and `demo_banner` change with the revision. */
export function projectAt(revision: number, timeMs: number): SampleProject {
  return {
    revision,
    timeMs,
    checksum: `${revision}${timeMs}`,
    companyId: "sample_shop",
    gates: gatesAt(revision),
    configs: [
      ...dynamicConfigsAt(revision, timeMs),
      ...standaloneExperiments,
      ...sampleLayers.flatMap(({ experiments }) => experiments),
    ],
    layers: sampleLayers.map(({ layer }) => layer),
    layerExperiments: Object.fromEntries(
      sampleLayers.map(({ layer, experiments }) => [layer.name, experiments.map(({ name }) => name)]),
    ),
    paramStores: sampleParamStores,
    idLists: [companyListName],
  };
}

const companyListName = "company_list";

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

/**
 * Flips with four of five revisions, and with at least one of any two. If it flipped with each, an SDK that polls half as often as the
 * project changes would never see another value.
 */
function demoFlip(revision: number): Spec {
  const percent = [1, 3].includes(revision % 5) ? 100 : 0;
  return { ...gate("demo_flip", [rule("everyone", true, { percent })]), version: revision };
}

function gatesAt(revision: number): readonly Spec[] {
  return [...segments, ...rollouts, ...targeted, ...dependent, demoFlip(revision)];
}

const limits: JsonObject = { requests_per_minute: 120, burst: 20, cart_items: 100 };

const constantConfigs: readonly Spec[] = [
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

function dynamicConfigsAt(revision: number, timeMs: number): readonly Spec[] {
  return [...constantConfigs, demoBanner(revision, timeMs)];
}

/** A parameter store lists values that an app reads, and the entity that decides each of them. */
const sampleParamStores: { readonly [name: string]: JsonObject } = {
  storefront: {
    parameters: {
      shop_name: { ref_type: "static", param_type: "string", value: "Sample Shop" },
      express_checkout: {
        ref_type: "gate",
        param_type: "boolean",
        gate_name: "checkout_express",
        pass_value: true,
        fail_value: false,
      },
      banner_text: {
        ref_type: "dynamic_config",
        param_type: "string",
        config_name: "demo_banner",
        param_name: "text",
      },
      button_color: {
        ref_type: "experiment",
        param_type: "string",
        experiment_name: "checkout_button_color",
        param_name: "color",
      },
      gallery: { ref_type: "layer", param_type: "string", layer_name: "product_page", param_name: "gallery" },
    },
  },
};

export const companyListFileId = "company_list_1";
const companyListCreatedMs = Date.UTC(2024, 2, 1);
const companies = ["acme", "globex", "initech", "umbrella"];

/** ID lists contain the first 8 base64 characters of the SHA-256 of each ID. */
function formatListLine(id: string): string {
  return `+${createHash("sha256").update(id).digest("base64").slice(0, 8)}\n`;
}

export const companyListFile: Buffer = Buffer.from(companies.map(formatListLine).join(""));

/** Returns the response of get_id_lists: the URL and size of each list file. */
export function createManifest(baseUrl: string) {
  return {
    [companyListName]: {
      name: companyListName,
      url: `${baseUrl}/v1/download_id_list_file/${companyListFileId}`,
      fileID: companyListFileId,
      size: companyListFile.length,
      creationTime: companyListCreatedMs,
    },
  };
}
