var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

// two.ts
var two_exports = {};
__export(two_exports, {
  handler: () => handler
});
module.exports = __toCommonJS(two_exports);

// lib/deep.ts
function apply(f) {
  return [1].map(f)[0];
}

// lib/pick.ts
function pick(choice) {
  const descend = (depth) => {
    if (depth === 0) {
      throw new RangeError(`🚧 no way to ${choice.path}`);
    }
    return descend(depth - 1);
  };
  return descend(choice.depth);
}

// two.ts
function pick2(depth) {
  return apply(() => pick({ path: "/way", depth }));
}
if (process.env["EARLY"]) {
  pick2(0);
}
var handler = async () => pick2(1);
// Annotate the CommonJS export names for ESM import in node:
0 && (module.exports = {
  handler
});
