import type { JsonObject } from "./sample-model.ts";

/** Parameter stores name values that an app reads, and where each is decided. */
export const sampleParamStores: { readonly [name: string]: JsonObject } = {
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
