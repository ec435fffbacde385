// Tables sort by the column whose heading is pressed; what has no value stays at the end.
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement, table = heading.closest("table"), body = table.tBodies[0];
    const down = heading.getAttribute("aria-sort") !== "descending";
    const column = heading.cellIndex, number = heading.classList.contains("number");
    const of = (row) => {
      const field = row.cells[column];
      return number || "value" in field.dataset ? parseFloat(field.dataset.value) : field.textContent;
    };
    const missing = (value) => Number.isNaN(value);
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    const rows = [...body.rows].map((row) => [of(row), row]).sort(([a], [b]) =>
      missing(a) || missing(b) ? missing(a) - missing(b) : down ? compare(b, a) : compare(a, b));
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  });
}
