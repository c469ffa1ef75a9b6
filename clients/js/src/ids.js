// Ids that nobody else makes. `crypto.randomUUID` is missing on pages without TLS, and `crypto` in Node 18.

export function uniqueId() {
  if (globalThis.crypto?.randomUUID) return globalThis.crypto.randomUUID();
  const random = globalThis.crypto?.getRandomValues
    ? globalThis.crypto.getRandomValues(new Uint8Array(16))
    : Uint8Array.from({ length: 16 }, () => Math.random() * 256);
  return [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
