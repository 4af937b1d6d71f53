// The signature debugger. Whatever is typed stays here: nothing is sent, stored or put into the address.

import { controlComputation, hmacComputation, resultOf } from "./computations.js";
import { create } from "./dom.js";
import { explain } from "./mistakes.js";
import { canSign, hexOf, parseControlKey, utf8 } from "./signing.js";

const form = document.querySelector(".debugger");
const keyInput = document.getElementById("control-key");
const pasted = document.getElementById("pasted");
const verdict = document.getElementById("verdict");
const stringPlace = document.getElementById("string");
const signaturePlace = document.getElementById("signature");
const SIGNATURE = /^[0-9A-F]{40}$/i;
const NO_PARTS = "Type the parts first.";
const inputsOf = (kind) => [...form.querySelectorAll(`[data-kind="${kind}"] [data-part]`)];

const { kinds, mistakes, verdicts } = await (await fetch("/docs/assets/signatures.json")).json();
let turn = 0;

function chosen() {
  return form.elements.kind.value;
}

function showKind() {
  for (const group of form.querySelectorAll("[data-kind]")) group.hidden = group.dataset.kind !== chosen();
}

/** What one signature is told about, another one is told too: the same parts have the same values. */
function shareValue(changed) {
  for (const input of form.querySelectorAll("[data-part]")) {
    if (input !== changed && input.dataset.part === changed.dataset.part) input.value = changed.value;
  }
}

function parts() {
  return inputsOf(chosen()).map((input) => [input.dataset.part, input.value]);
}

function showString() {
  const { key: keyName } = kinds[chosen()];
  const pieces = parts().map(([name, value], place) =>
    create("mark", { class: `part-${place}`, title: name, "data-name": name }, value),
  );
  if (keyName) pieces.push(create("mark", { class: "part-key", title: keyName, "data-name": keyName }, keyInput.value.trim()));
  stringPlace.replaceChildren(...pieces);
  const text = stringPlace.textContent;
  document.getElementById("length").textContent = `${[...text].length} characters, ${utf8(text).length} bytes in UTF-8. Nothing separates the parts.`;
}

function computation() {
  const key = parseControlKey(keyInput.value);
  const { key: keyName } = kinds[chosen()];
  return { key, computed: keyName ? controlComputation(key, parts(), keyName) : hmacComputation(key, parts()) };
}

function say(kind, ...content) {
  verdict.className = `verdict ${kind}`;
  verdict.replaceChildren(...content);
}

function sentence({ id, details }) {
  return mistakes[id].replace(/\{(\d)\}/g, (_, place) => details[Number(place)]);
}

async function judge() {
  turn += 1;
  const mine = turn;
  const isWanted = () => mine === turn;
  showString();
  let key, computed;
  try {
    ({ key, computed } = computation());
    keyInput.removeAttribute("aria-invalid");
  } catch (error) {
    keyInput.setAttribute("aria-invalid", String(keyInput.value !== ""));
    signaturePlace.textContent = "";
    say("waiting", keyInput.value === "" ? "Type your control key." : error.message);
    return;
  }
  if (parts().every(([, value]) => value === "")) {
    signaturePlace.textContent = NO_PARTS;
    say("waiting", NO_PARTS);
    return;
  }
  const digits = hexOf(await resultOf(computed));
  if (!isWanted()) return;
  signaturePlace.textContent = kinds[chosen()].key ? digits : digits.toUpperCase();
  if (pasted.value.trim() === "") {
    say("waiting", "Nothing is pasted yet.");
    return;
  }
  const found = await explain(pasted.value, key, computed, isWanted);
  if (isWanted()) tell(found);
}

function tell(found) {
  if (!found && !SIGNATURE.test(pasted.value.trim())) {
    say("wrong", create("strong", {}, verdicts.none));
    return;
  }
  if (found?.length === 0) {
    say("right", create("strong", {}, verdicts.right));
    return;
  }
  const reasons = found
    ? found.map((mistake) => create("li", { "data-mistake": mistake.id }, sentence(mistake)))
    : [create("li", {}, verdicts.unknown)];
  say("wrong", create("p", {}, create("strong", {}, verdicts.wrong)), create("ul", {}, ...reasons));
}

if (canSign) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.dataset.part) shareValue(event.target);
    if (event.target.name === "kind") showKind();
    judge();
  });
  showKind();
  judge();
} else {
  document.querySelector(".insecure").hidden = false;
}
for (const words of document.querySelectorAll(".without-script")) words.hidden = true;
