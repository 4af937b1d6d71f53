// What answers and requests have told so far, by JSON path: `session.nonce` is the same thing wherever it stands.
// It lives as long as the page does.

const OPEN = /\{([\w.]+)\}/g;

const values = new Map();
const otherNames = {};

/** Tells which paths mean what has another path elsewhere. */
export function alsoNamed(names) {
  Object.assign(otherNames, names);
}

/** Takes over every value of a document that is no object and no list. */
export function learn(document, above = "") {
  for (const [name, value] of Object.entries(document ?? {})) {
    const path = above + name;
    if (Array.isArray(value)) continue;
    if (value !== null && typeof value === "object") learn(value, `${path}.`);
    else values.set(otherNames[path] ?? path, value);
  }
}

export function know(path, value) {
  values.set(path, value);
}

export function isKnown(path) {
  return values.has(path);
}

export function valueOf(path) {
  return values.get(path);
}

/** Returns a text with what is known in the place of each `{path}`. */
export function filledIn(text) {
  return text.replace(OPEN, (open, path) => (values.has(path) ? String(values.get(path)) : open));
}

/** Returns a document with what is known at the path of each of its values. */
export function filled(document, above = "") {
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => {
      const path = above + name;
      if (value !== null && typeof value === "object" && !Array.isArray(value)) return [name, filled(value, `${path}.`)];
      const known = otherNames[path] ?? path;
      return [name, values.has(known) ? values.get(known) : value];
    }),
  );
}
