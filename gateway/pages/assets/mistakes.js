// Which common mistake would have made a wrong signature. The same search as service/signature_mistakes.py.

import { WRONG_ENCODINGS, cut, hmacWith, plainWith, resultOf } from "./computations.js";
import { bytesOfHex, concatenated, hexOf, hmac, plain, utf8 } from "./signing.js";

const AMOUNT = "transaction.amountCentis";
const SEPARATORS = [",", ";", ":", "|", "&", " ", "\n", "-", "+", ".", "/", "_", "\t"];
const LEAST_CUT = 8;
const RIGHT_LENGTH = 40;
const AT_ONCE = 500;

/**
 * Returns the mistakes that would have made a signature: none if it is right, two at most, null where none is found.
 * @param {string} signature what was given
 * @param {{written: string, bytes: Uint8Array}} key
 * @param {object} computation how it should have been computed
 * @param {() => boolean} isWanted whether somebody still waits for the result
 */
export async function explain(signature, key, computation, isWanted = () => true) {
  const given = signature.trim();
  const right = writtenAs(given, await resultOf(computation));
  if (right) return right;
  const changes = await tellingChanges(key, computation);
  for (const { mistake, result } of changes) {
    const written = writtenAs(given, result);
    if (written) return [mistake, ...written];
  }
  const other = await firstThatFits(given, orders(computation), isWanted);
  return other ?? firstThatFits(given, pairs(changes, computation), isWanted);
}

async function firstThatFits(given, attempts, isWanted) {
  let batch = [];
  const fitting = async () => {
    const results = await Promise.all(batch.map(({ changed }) => resultOf(changed)));
    const found = results.findIndex((result) => hexOf(result).toUpperCase() === given.toUpperCase());
    return found < 0 ? null : batch[found].mistakes;
  };
  for (const attempt of attempts) {
    batch.push(attempt);
    if (batch.length < AT_ONCE) continue;
    const found = await fitting();
    if (found || !isWanted()) return found;
    batch = [];
  }
  return fitting();
}

function* pairs(changes, computation) {
  for (const [place, one] of changes.entries()) {
    for (const other of changes.slice(place + 1)) {
      if (one.of === other.of) continue;
      yield { mistakes: [one.mistake, other.mistake], changed: other.apply(one.apply(computation)) };
    }
  }
}

async function tellingChanges(key, computation) {
  const changes = [...allChanges(key, computation)];
  const results = await Promise.all(changes.map((change) => resultOf(change.apply(computation))));
  const seen = new Set([hexOf(await resultOf(computation))]);
  return changes.flatMap((change, place) => {
    const result = hexOf(results[place]);
    if (seen.has(result)) return [];
    seen.add(result);
    return [{ ...change, result: results[place] }];
  });
}

function* allChanges(key, computation) {
  const [last, value] = computation.parts.at(-1);
  if (value === key.written) {
    yield* controlChanges(key, last);
  } else {
    yield* keyChanges(key);
    yield* hashChanges(key);
  }
  yield replacing("end_newline", "end", { end: "\n" });
  yield replacing("end_crlf", "end", { end: "\r\n" });
  for (const [name, part] of computation.parts) yield* partChanges(name, part);
  for (const [place, [one]] of computation.parts.entries()) {
    for (const [other] of computation.parts.slice(place + 1)) {
      yield { mistake: { id: "order_swapped", details: [one, other] }, of: "order", apply: swapping(one, other) };
    }
  }
  for (const separator of SEPARATORS) {
    yield replacing("separator", "separator", { separator }, JSON.stringify(separator));
  }
  for (const [name, encode] of Object.entries(WRONG_ENCODINGS)) yield replacing(`encoding_${name}`, "encoding", { encode });
}

function* keyChanges({ written, bytes }) {
  const bare = written.replaceAll("-", "");
  const texts = {
    key_text: written,
    key_text_bare: bare,
    key_text_upper: written.toUpperCase(),
    key_text_lower: written.toLowerCase(),
    key_text_bare_upper: bare.toUpperCase(),
    key_text_bare_lower: bare.toLowerCase(),
  };
  for (const [id, text] of Object.entries(texts)) yield replacing(id, "key", { key: utf8(text) });
  yield replacing("key_until_dash", "key", { key: bytesOfHex(written.split("-")[0]) });
  if (bytes.length === 16) {
    const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    yield replacing("key_guid", "key", { key: Uint8Array.from(order, (place) => bytes[place]) });
  }
  yield replacing("key_empty", "key", { key: new Uint8Array() });
}

function* hashChanges({ written }) {
  const text = utf8(written);
  const digests = {
    hash_sha256: hmacWith("SHA-256"),
    hash_sha256_cut: cut(hmacWith("SHA-256")),
    hash_sha512: hmacWith("SHA-512"),
    hash_sha512_cut: cut(hmacWith("SHA-512")),
    plain_key_after: (_, message) => plain("SHA-1", concatenated([message, text])),
    plain_key_before: (_, message) => plain("SHA-1", concatenated([text, message])),
    plain_without_key: plainWith("SHA-1"),
    arguments_swapped: (key, message) => hmac("SHA-1", message, key),
  };
  for (const [id, digest] of Object.entries(digests)) yield replacing(id, "hash", { digest });
}

function* controlChanges({ written, bytes }, name) {
  yield replacing("control_sha256", "hash", { digest: plainWith("SHA-256") });
  yield replacing("control_sha256_cut", "hash", { digest: cut(plainWith("SHA-256")) });
  for (const [id, key] of Object.entries({ control_hmac: bytes, control_hmac_text: utf8(written) })) {
    const apply = (computation) => ({ ...leavingOut(name)(computation), key, digest: hmacWith("SHA-1") });
    yield { mistake: { id, details: [] }, of: "hash", apply };
  }
  yield { mistake: { id: "control_key_bytes", details: [] }, of: name, apply: setting(name, bytes) };
}

function* partChanges(name, value) {
  if (name === AMOUNT && /^[0-9]+$/.test(value)) {
    for (const [id, amount] of Object.entries(amounts(value))) {
      yield { mistake: { id, details: [] }, of: name, apply: setting(name, amount) };
    }
  }
  yield { mistake: { id: "part_missing", details: [name] }, of: name, apply: leavingOut(name) };
  const wrong = {
    part_lower: value.toLowerCase(),
    part_upper: value.toUpperCase(),
    part_bare: value.replaceAll("-", ""),
    part_trimmed: value.trim(),
    part_newline: `${value}\n`,
    part_quoted: `"${value}"`,
    part_url_encoded: encodeURIComponent(value.toWellFormed()),
    part_json_escaped: jsonEscaped(value),
    part_composed: value.normalize("NFC"),
    part_decomposed: value.normalize("NFD"),
  };
  for (const [id, changed] of Object.entries(wrong)) {
    yield { mistake: { id, details: [name] }, of: name, apply: setting(name, changed) };
  }
}

function amounts(centis) {
  const digits = centis.padStart(3, "0");
  const major = `${digits.slice(0, -2)}.${digits.slice(-2)}`;
  return {
    amount_major: major,
    amount_major_bare: major.replace(/\.?0+$/, ""),
    amount_comma: major.replace(".", ","),
    amount_decimals: `${centis}.00`,
    amount_float: `${centis}.0`,
    amount_hundredfold: `${centis}00`,
  };
}

function jsonEscaped(value) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).slice(1, -1).replace(/[^ -~]/g, escape);
}

function* orders(computation) {
  for (const parts of permutations(computation.parts)) {
    const moved = parts.filter(([name], place) => name !== computation.parts[place][0]).length;
    if (moved <= 2) continue;
    const details = [parts.map(([name]) => name).join(", ")];
    yield { mistakes: [{ id: "order_other", details }], changed: { ...computation, parts } };
  }
}

function* permutations(items) {
  if (items.length < 2) yield items;
  for (const [place, item] of items.length < 2 ? [] : items.entries()) {
    for (const others of permutations(items.toSpliced(place, 1))) yield [item, ...others];
  }
}

function replacing(id, of, values, ...details) {
  return { mistake: { id, details }, of, apply: (computation) => ({ ...computation, ...values }) };
}

function setting(name, value) {
  return (computation) => ({
    ...computation,
    parts: computation.parts.map((part) => (part[0] === name ? [name, value] : part)),
  });
}

function leavingOut(name) {
  return (computation) => ({ ...computation, parts: computation.parts.filter((part) => part[0] !== name) });
}

function swapping(one, other) {
  const exchanged = { [one]: other, [other]: one };
  return (computation) => {
    const parts = new Map(computation.parts);
    if (!parts.has(one) || !parts.has(other)) return computation;
    const names = computation.parts.map(([name]) => exchanged[name] ?? name);
    return { ...computation, parts: names.map((name) => [name, parts.get(name)]) };
  };
}

/** Returns how a digest was written: rightly, wrongly, or null: not at all in this way. */
function writtenAs(given, digest) {
  const right = hexOf(digest).toUpperCase();
  if (given.toUpperCase() === right) return [];
  for (const [id, text] of Object.entries(writings(digest))) {
    if (text === given || text === given.toUpperCase()) return [{ id, details: [] }];
  }
  if (given.replace(/[-:\s]/g, "").toUpperCase() === right) return [{ id: "written_separated", details: [] }];
  const isCut = given.length >= LEAST_CUT && given.length < RIGHT_LENGTH && right.startsWith(given.toUpperCase());
  return isCut ? [{ id: "written_cut", details: [] }] : null;
}

function writings(digest) {
  const digits = hexOf(digest).toUpperCase();
  const base64 = btoa(String.fromCharCode(...digest));
  return {
    written_base64: base64,
    written_base64url: base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
    written_base64_of_hex: btoa(digits),
    written_unpadded: Array.from(digest, (byte) => byte.toString(16).toUpperCase()).join(""),
    written_without_zeros: digits.replace(/^0+/, ""),
  };
}
