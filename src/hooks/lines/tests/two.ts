import { apply } from "./lib/deep";
import { pick as other } from "./lib/pick";

function pick(depth: number): string {
    return apply(() => other({ path: "/way", depth }));
}

if (process.env["EARLY"]) {
    pick(0);
}

export const handler = async (): Promise<unknown> => pick(1);
