// Only types: see events.d.ts.
export {};
