export function apply(f: () => string): string {
    return [1].map(f)[0]!;
}
