// How signatures are computed, rightly and wrongly. The same as service/signature_computations.py.

import { concatenated, hmac, plain, utf8 } from "./signing.js";

const SHA1_BYTES = 20;

/**
 * How a signature is computed that is an HMAC.
 * @param {{written: string, bytes: Uint8Array}} key
 * @param {[string, string][]} parts the name and the value of each
 */
export function hmacComputation(key, parts) {
  return { parts, key: key.bytes, digest: hmacWith("SHA-1"), encode: utf8, separator: "", end: "" };
}

/** How the `control` of a callback is computed. */
export function controlComputation(key, parts, keyName) {
  return { ...hmacComputation(key, [...parts, [keyName, key.written]]), digest: plainWith("SHA-1") };
}

/** Returns what a computation comes to, as bytes. */
export function resultOf({ parts, key, digest, encode, separator, end }) {
  const pieces = parts.flatMap(([, value], place) => {
    const bytes = typeof value === "string" ? encode(value) : value;
    return place ? [encode(separator), bytes] : [bytes];
  });
  return digest(key, concatenated([...pieces, encode(end)]));
}

export function hmacWith(hash) {
  return (key, message) => hmac(hash, key, message);
}

export function plainWith(hash) {
  return (_, message) => plain(hash, message);
}

/** Leaves of a digest what there is room for where a SHA-1 is expected. */
export function cut(digest) {
  return async (key, message) => (await digest(key, message)).slice(0, SHA1_BYTES);
}

const CP1251 = new Map(
  Array.from(new TextDecoder("windows-1251").decode(Uint8Array.from({ length: 256 }, (_, byte) => byte)), (character, byte) => [
    character,
    byte,
  ]),
);

/** Other than UTF-8, by the names that their mistakes have. */
export const WRONG_ENCODINGS = {
  latin1: (text) => narrow(text, (character) => (character.codePointAt(0) < 256 ? character.codePointAt(0) : undefined)),
  ascii: (text) => narrow(text, (character) => (character.codePointAt(0) < 128 ? character.codePointAt(0) : undefined)),
  cp1251: (text) => narrow(text, (character) => CP1251.get(character)),
  utf16le: (text) => wide(text, true),
  utf16be: (text) => wide(text, false),
  twice: (text) => utf8(String.fromCharCode(...utf8(text))),
};

function narrow(text, byteOf) {
  return Uint8Array.from(text, (character) => byteOf(character) ?? "?".charCodeAt(0));
}

function wide(text, isLittleEndian) {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let place = 0; place < text.length; place += 1) view.setUint16(2 * place, text.charCodeAt(place), isLittleEndian);
  return new Uint8Array(view.buffer);
}
