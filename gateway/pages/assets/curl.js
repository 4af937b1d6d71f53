// A request as a line for a shell.

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {{method: string, url: string, headers: Record<string, string>, body?: string}} request
 * @returns {string}
 */
export function curlOf({ method, url, headers, body }) {
  const words = ["curl", "-si"];
  if (method !== (body === undefined ? "GET" : "POST")) words.push("-X", method);
  words.push(quoted(url));
  for (const [name, value] of Object.entries(headers)) words.push("-H", quoted(`${name}: ${value}`));
  if (body !== undefined) words.push("--data-binary", quoted(body));
  return words.join(" ");
}
