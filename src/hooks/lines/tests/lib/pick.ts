export type Choice = { path: string; depth: number };

type Inner = (depth: number) => string;

export function pick(choice: Choice): string {
    const descend: Inner = (depth) => {
        if (depth === 0) {
            throw new RangeError(`🚧 no way to ${choice.path}`);
        }
        return descend(depth - 1);
    };
    return descend(choice.depth);
}
