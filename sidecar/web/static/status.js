// Keeps the status page up to date: the server sends the parts that changed, by their element's id.
"use strict";

const note = document.getElementById("live");

function busy(part) {
  const marked = document.getSelection();
  return part.contains(document.activeElement)
    || (marked !== null && !marked.isCollapsed && part.contains(marked.anchorNode));
}

function show(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id);
    // Whoever reads or copies is not disturbed; the part comes again when it changes again.
    if (part !== null && !busy(part)) {
      part.innerHTML = html;
    }
  }
  document.title = document.querySelector("[data-title]")?.dataset.title ?? document.title;
}

const events = new EventSource("events");
events.addEventListener("parts", (event) => {
  show(JSON.parse(event.data));
  note.textContent = "Live.";
});
events.addEventListener("error", () => {
  note.textContent = "Not live: the sidecar does not answer. What you see is old.";
  if (events.readyState === EventSource.CLOSED) {
    setTimeout(() => location.reload(), 10000);
  }
});
