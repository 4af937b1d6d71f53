// Follows the server: asks for this page again and again, and puts what has changed in its place.

const PAUSE = 1000;
const PATIENCE = 10_000;

function isList(element) {
  return element.matches("ol, ul");
}

/** Makes one element the same as another, item by item where it is a list, so that only what is new is announced. */
function follow(here, there) {
  if (here.isEqualNode(there)) return;
  if (!isList(here)) {
    here.replaceChildren(...there.cloneNode(true).childNodes);
    return;
  }
  const items = [...there.children];
  while (here.children.length > items.length) here.lastElementChild.remove();
  for (const [place, item] of items.entries()) {
    const old = here.children[place];
    if (old === undefined) here.append(item.cloneNode(true));
    else if (!old.isEqualNode(item)) old.replaceWith(item.cloneNode(true));
  }
}

async function refresh() {
  const answer = await fetch(location.pathname, { signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const here of document.querySelectorAll("[data-live]")) {
    const there = fresh.getElementById(here.id);
    if (there !== null) follow(here, there);
  }
}

for (;;) {
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  if (document.hidden) continue;
  try {
    await refresh();
  } catch {
    // The server is away, or just starts anew: it is asked again.
  }
}
