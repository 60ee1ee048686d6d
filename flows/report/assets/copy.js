document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Opened as a file, some browsers give no clipboard: select, and the user's own key copies.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
});
