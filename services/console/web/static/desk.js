// What pages cannot do by themselves: live figures, confirmations in place, the choice of light and dark, and showing in the
// page as fetched where a value of the record stood.
"use strict";

const byData = (name) => document.querySelectorAll(`[data-${name}]`);

function show(view) {
  for (const node of byData("text")) {
    const text = view.text[node.dataset.text];
    if (text !== undefined && node.textContent !== text) {
      node.textContent = text;
      node.classList.remove("moved");
      void node.offsetWidth;
      node.classList.add("moved");
    }
  }
  for (const node of byData("state-of")) node.dataset.state = view.state[node.dataset.stateOf] ?? "idle";
  for (const node of byData("curve")) node.setAttribute("d", view.curve[node.dataset.curve] ?? "");
  for (const list of byData("trouble")) list.replaceChildren(...view.trouble.map(trouble));
  for (const node of byData("if-trouble")) node.hidden = view.trouble.length === 0;
}

function trouble([state, text, href]) {
  const item = document.createElement("li"), link = document.createElement("a");
  item.dataset.state = state;
  link.href = href;
  link.textContent = text;
  item.append(link);
  return item;
}

function listen() {
  if (!document.querySelector("[data-live]")) return;
  const stream = new EventSource("/live");
  stream.onmessage = (message) => {
    document.documentElement.classList.remove("stale");
    if (!document.hidden) show(JSON.parse(message.data));
  };
  stream.onerror = () => document.documentElement.classList.add("stale");
}

// A link to a confirmation opens it in a dialog; without this script, or when anything is odd, it is a page of its own.
async function confirmInPlace(link) {
  const answer = await fetch(link.href, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const form = page.querySelector("form.confirm");
  if (!answer.ok || !form) throw new Error("no confirmation");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "confirm-title");
  dialog.append(document.adoptNode(form));
  dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
  form.querySelector("[data-cancel]")?.addEventListener("click", (event) => { event.preventDefault(); dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-confirm]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  confirmInPlace(link).catch(() => { location.href = link.href; });
});

document.querySelector("[data-themes]")?.addEventListener("change", (event) => {
  const theme = event.target.value;
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
});

// Pointing at a value moves the frame to its mark. The frame may run nothing, so it is led there by its address.
let shownAt = "";
function showPlace(event) {
  const frame = document.querySelector("iframe[name=fetched]"), place = event.target.closest?.("[data-at]");
  if (!frame || !place || place.dataset.at === shownAt) return;
  shownAt = place.dataset.at;
  for (const node of byData("at")) node.classList.toggle("shown", node.dataset.at === shownAt);
  frame.contentWindow.location.replace(`${new URL(frame.src)}#${shownAt}`);
}
document.addEventListener("pointerover", showPlace);
document.addEventListener("focusin", showPlace);

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  const field = document.querySelector(".search input[type=search]");
  if (field) { event.preventDefault(); field.focus(); }
});

listen();
