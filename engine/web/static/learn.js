// Keeps a quiz's answers while they are given, and counts the time in sight. Everything works without it.
"use strict";
const summary = document.getElementById("summary");
if (summary) summary.focus();

const form = document.querySelector("form[data-draft]");
if (form) {
  const save = form.elements.namedItem("save");
  const active = form.elements.namedItem("active");
  const state = form.querySelector(".state");
  let since = document.hidden ? 0 : performance.now();
  let spent = 0;
  let sending = Promise.resolve();
  let waiting = 0;

  const inSight = () => Math.round(spent + (since ? performance.now() - since : 0));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { spent = inSight(); since = 0; } else { since = performance.now(); }
  });

  const answers = () => {
    const given = {};
    for (const [name, value] of new FormData(form)) {
      if (name.startsWith("item.")) (given[name.slice(5)] ??= []).push(value);
    }
    return given;
  };

  // One after the other: each save names the one before it.
  const keep = async () => {
    try {
      const answer = await fetch(form.dataset.draft, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ save: save.value, answers: answers(), active_ms: inSight() }),
      });
      const told = await answer.json();
      if (answer.ok) { save.value = told.save; state.textContent = form.dataset.saved; }
      else state.textContent = told.reason === "stale-save" ? form.dataset.stale : form.dataset.unsaved;
    } catch {
      state.textContent = form.dataset.unsaved;
    }
  };
  form.addEventListener("change", () => {
    waiting += 1;
    sending = sending.then(keep).then(() => { waiting -= 1; });
  });
  form.addEventListener("submit", (event) => {
    active.value = String(inSight());
    if (!waiting) return;
    event.preventDefault();
    const button = event.submitter;
    sending.then(() => form.requestSubmit(button));
  });
}
