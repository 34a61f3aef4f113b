// Files that somebody chooses or drops.

/** A file's bytes in base64. `unreadable`: what to say when that fails. */
export function base64(file, unreadable) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(unreadable));
    reader.readAsDataURL(file);
  });
}

/** One content, either a file or a text: choosing one empties the other. `place` takes files that are dropped. */
export function either(file, text, place, preview) {
  function chosen(one) {
    preview.hidden = !one?.type.startsWith("image/");
    if (!preview.hidden) preview.src = URL.createObjectURL(one);
    if (one) text.value = "";
  }
  text.addEventListener("input", () => {
    if (!text.value) return;
    file.value = "";
    chosen(null);
  });
  file.addEventListener("change", () => chosen(file.files[0]));
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) place.addEventListener(name, () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    chosen(file.files[0]);
  });
}
