// Signatures as the contract has them, by the browser's own cryptography. Nothing here sends or stores anything.

const UTF8 = new TextEncoder();
const KEY = /^[0-9A-Fa-f-]+$/;
const LEAST_DIGITS = 32;

/** Whether this page may compute: browsers give their cryptography to secure contexts only. */
export const canSign = globalThis.isSecureContext && globalThis.crypto?.subtle !== undefined;

/**
 * Reads a control key as the provider writes it.
 * @param {string} text hexadecimal digits, with or without dashes
 * @returns {{written: string, bytes: Uint8Array}}
 * @throws {Error} it is none; the message does not hold it
 */
export function parseControlKey(text) {
  const written = text.trim();
  const digits = written.replaceAll("-", "");
  if (!KEY.test(written) || digits.length % 2) {
    throw new Error("The control key must be pairs of hexadecimal digits, and dashes.");
  }
  if (digits.length < LEAST_DIGITS) {
    throw new Error(`The control key must have ${LEAST_DIGITS} hexadecimal digits at least.`);
  }
  return { written, bytes: bytesOfHex(digits) };
}

export function bytesOfHex(digits) {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function utf8(text) {
  return UTF8.encode(text);
}

export function concatenated(pieces) {
  const all = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Returns the digest of a message, as bytes. */
export async function plain(hash, message) {
  return new Uint8Array(await crypto.subtle.digest(hash, message));
}

const imported = new WeakMap();

/** Returns a key as the browser wants it, made once: a search signs thousands of times. */
function importedKey(hash, key) {
  if (!imported.has(key)) imported.set(key, new Map());
  const byHash = imported.get(key);
  if (!byHash.has(hash)) {
    // An empty key is refused, and one of a zero byte is the same: keys are filled up with zeros.
    const raw = key.length ? key : new Uint8Array(1);
    byHash.set(hash, crypto.subtle.importKey("raw", raw, { name: "HMAC", hash }, false, ["sign"]));
  }
  return byHash.get(hash);
}

/** Returns the HMAC of a message, as bytes. */
export async function hmac(hash, key, message) {
  return new Uint8Array(await crypto.subtle.sign("HMAC", await importedKey(hash, key), message));
}

/** Returns the `control` of a callback. */
export async function callbackControl(written, { status, orderid, client_orderid: clientOrderid }) {
  return hexOf(await plain("SHA-1", utf8(`${status}${orderid}${clientOrderid}${written}`)));
}
