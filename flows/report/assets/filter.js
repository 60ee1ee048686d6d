// What is of runs that no ticked box names goes, in the pictures and in the tables.
for (const form of document.querySelectorAll("form.filter")) {
  form.hidden = false;
  form.addEventListener("change", () => {
    const away = new Set([...form.querySelectorAll("input:not(:checked)")].flatMap((box) => box.dataset.of.split(" ")));
    for (const part of document.querySelectorAll(`[data-part="${form.dataset.choose}"]`)) {
      for (const one of part.querySelectorAll("[data-of]")) {
        one.toggleAttribute("hidden", one.dataset.of.split(" ").every((number) => away.has(number)));
      }
      for (const front of part.querySelectorAll(".front")) {
        front.toggleAttribute("hidden", away.size > 0); // it is that of all runs, and would lead over empty places
      }
    }
  });
}
