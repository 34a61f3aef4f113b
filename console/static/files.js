// Files that the service makes: kept by the browser as a download.

/** Keep the body of an answer as a file; its name is the answer's, or `name`. */
export async function keep(answer, name) {
  const said = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "");
  const place = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = place;
  link.download = said ? said[1] : name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(place), 60000);
}
