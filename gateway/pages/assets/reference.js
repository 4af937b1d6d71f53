// The forms of the reference: sends requests, shows the answers, and fills what they tell into the other forms.

import { curlOf } from "./curl.js";
import { copy, create } from "./dom.js";
import { alsoNamed, filled, filledIn, isKnown, know, learn, valueOf } from "./known.js";
import { callbackControl, canSign, parseControlKey } from "./signing.js";

const forms = [...document.querySelectorAll("form.try")];
const controls = (form, place) => [...form.querySelectorAll(`[data-in="${place}"]`)];
const body = (form) => form.querySelector('[data-in="body"]');

/** Returns what a form says. */
function requestOf(form) {
  let path = form.dataset.path;
  for (const control of controls(form, "path")) {
    path = path.replace(`{${control.dataset.name}}`, encodeURIComponent(control.value));
  }
  const query = new URLSearchParams();
  for (const control of controls(form, "query")) {
    if (control.value !== "") query.append(control.dataset.name, control.value);
  }
  for (const control of controls(form, "others")) {
    for (const [name, value] of new URLSearchParams(control.value)) query.append(name, value);
  }
  const headers = {};
  for (const control of controls(form, "header")) {
    if (control.value !== "") headers[control.dataset.name] = control.value;
  }
  const request = { method: form.dataset.method, url: location.origin + path, headers };
  if (query.size) request.url += `?${query}`;
  if (body(form)) {
    request.body = body(form).value;
    headers["Content-Type"] = "application/json";
  }
  return request;
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Sends what a form says, and shows what comes back. */
async function send(form) {
  const request = requestOf(form);
  const place = form.querySelector(".answer");
  place.replaceChildren(create("p", { class: "note" }, "Sending ..."));
  const begun = performance.now();
  let answer, text;
  try {
    answer = await fetch(request.url, request);
    text = await answer.text();
  } catch {
    place.replaceChildren(create("p", { class: "refused" }, "There is no answer: is the server still running?"));
    return;
  }
  const document = json(text);
  place.replaceChildren(...shown(form, answer, text, document, performance.now() - begun));
  place.firstElementChild.scrollIntoView({ block: "nearest" });
  if (answer.ok) remember(request, document);
}

function remember(request, answered) {
  const before = valueOf("invoiceId");
  if (request.body !== undefined) learn(json(request.body));
  learn(answered);
  if (valueOf("invoiceId") !== before) beginSale();
  fillAll();
}

/** A payment gateway has a token of its own for each sale. */
function beginSale() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  know("session.token", digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"));
  const centis = String(valueOf("transaction.amountCentis")).padStart(3, "0");
  know("amount", `${centis.slice(0, -2)}.${centis.slice(-2)}`);
}

function fillAll() {
  for (const form of forms) {
    for (const control of [...controls(form, "path"), ...controls(form, "query")]) {
      const { name, template } = control.dataset;
      if (template.startsWith("{")) control.value = filledIn(template);
      else if (name === "amount" && isKnown(name)) control.value = valueOf(name);
    }
    const document = body(form) && json(body(form).value);
    if (document) body(form).value = JSON.stringify(filled(document), null, 2);
    tellMissing(form);
    computeControl(form);
  }
}

/** Says from which operation a form still needs something. */
function tellMissing(form) {
  const missing = Object.entries(JSON.parse(form.dataset.needs)).filter(([path]) => !isKnown(path));
  const place = form.querySelector(".missing");
  place.hidden = missing.length === 0;
  const operations = [...new Set(missing.map(([, operation]) => operation))];
  const links = operations.flatMap((operation) => [", ", linkTo(operation, operation)]).slice(1);
  place.replaceChildren("Needs what these answer: ", ...links, ". Send them first, and it is filled in.");
}

/** Computes the checksum of a callback, where a control key is typed. */
async function computeControl(form) {
  const key = form.querySelector(".control-key");
  if (!key) return;
  if (!canSign) {
    key.disabled = true;
    key.nextElementSibling.textContent = "Not computed here: browsers sign on HTTPS pages and on 127.0.0.1 only.";
    return;
  }
  const said = Object.fromEntries(controls(form, "query").map((control) => [control.dataset.name, control]));
  try {
    const { written } = parseControlKey(key.value);
    const values = Object.fromEntries(Object.entries(said).map(([name, control]) => [name, control.value]));
    said.control.value = await callbackControl(written, values);
    key.setCustomValidity("");
  } catch (error) {
    key.setCustomValidity(key.value === "" ? "" : error.message);
  }
}

function shown(form, answer, text, document, milliseconds) {
  const status = create(
    "p",
    { class: answer.ok ? "status" : "status refused" },
    create("strong", {}, `${answer.status} ${answer.statusText}`.trim()),
    ` in ${milliseconds.toFixed(0)} ms`,
  );
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const pretty = document === undefined ? text : JSON.stringify(document, null, 2);
  // First how to go on: whoever comes by keyboard need not pass the answer, and a long one does not push it away.
  const parts = [status, ...(answer.ok ? next(form, document) : []), block(pretty, "Body")];
  const code = document?.error?.code;
  if (code) parts.push(create("p", {}, create("a", { href: `/docs/errors#${code}` }, `What ${code} means`)));
  parts.push(create("details", {}, create("summary", {}, "Headers of the answer"), block(headers, "Headers")));
  return parts;
}

function block(text, label) {
  return create("pre", { tabindex: "0", "aria-label": label }, create("code", {}, text));
}

/** Returns a link to an operation: to where it is sent, if it can be, so that Enter sends it. */
function linkTo(operation, text, attributes = {}) {
  const link = create("a", { href: `#${operation}`, ...attributes }, text);
  const form = forms.find((each) => each.dataset.name === operation);
  if (!form) return link;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // to be opened elsewhere
    event.preventDefault();
    location.hash = operation;
    form.querySelector('[type="submit"]').focus();
  });
  return link;
}

function next(form, document) {
  const links = [];
  const following = forms[forms.indexOf(form) + 1];
  if (following) links.push(linkTo(following.dataset.name, `Next: ${following.dataset.name}`, { class: "next" }));
  const sales = window.document.querySelector('a[href="/docs/sales"]');
  const invoice = document?.invoiceId;
  if (sales && invoice) links.push(" ", create("a", { href: `/docs/sales/${encodeURIComponent(invoice)}` }, "See the life of this sale"));
  return links.length ? [create("p", { class: "buttons" }, ...links)] : [];
}

for (const curl of document.querySelectorAll(".curl")) curl.open = false;
for (const form of forms) {
  alsoNamed(JSON.parse(form.dataset.same));
  form.hidden = false;
  tellMissing(form);
  computeControl(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.addEventListener("input", () => computeControl(form));
  body(form)?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.querySelector(".copy").addEventListener("click", (event) => copy(curlOf(requestOf(form)), event.target));
  form.querySelector(".every")?.addEventListener("click", (event) => {
    const document = JSON.parse(event.target.dataset.template);
    body(form).value = JSON.stringify(filled(document), null, 2);
    body(form).rows = body(form).value.split("\n").length + 1;
  });
}
